/** Whether every table can be copied in binary format, if the input requires it. */
import { list, nameOf } from '../wording.ts';
import { defineCheck, raising, refuses } from '../check.ts';
import type { TableName } from '../../catalog/selection.ts';
import { binaryForms, type BinaryForms } from '../../snapshot/binary.ts';
import { selectedOids } from '../facts/selected.ts';
import type { SourceReading } from '../reading.ts';

const { codes, error } = raising({
  'binary-form': refuses(
    'The input requires a binary copy, but a column type has no binary format that both servers share.',
  ),
});

export const binaryForm = defineCheck({
  codes,
  source: { textColumns: readTextColumns },
  find: ({ source }) => {
    if (source === null || source.textColumns.length === 0) return [];
    const named = source.textColumns.map((one) => `${nameOf(one)}.${one.column}`);
    return error(
      'binary-form',
      `"copy.format" is "binary", but these columns have types without a binary format that both servers share: ${list(named)}`,
      'Use "auto": tables with such columns are copied as text, all others in binary.',
    );
  },
});

interface TextColumn extends TableName {
  readonly column: string;
}

/** Columns that a binary copy cannot move; read only if the input requires one. */
async function readTextColumns(of: SourceReading): Promise<TextColumn[]> {
  if (of.input.copy.format !== 'binary') return [];
  const { rows } = await of.client.query<TableName & { forms: BinaryForms | null }>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, ${binaryForms('c.oid')} as forms
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and c.relkind = 'r'
     order by 1, 2`,
    [await selectedOids(of)],
  );
  return rows.flatMap(({ schema, name, forms }) =>
    Object.entries(forms ?? {})
      .filter(([, form]) => form === null)
      .map(([column]) => ({ schema, name, column })),
  );
}
