/** Columns that a binary copy cannot move; read only if the input requires one. */
import type pg from 'pg';
import type { TableName } from '../../catalog/selection.ts';
import { binaryForms, type BinaryForms } from '../../snapshot/binary.ts';

export interface TextColumn extends TableName {
  readonly column: string;
}

/** @param selected tables that are moved. */
export async function readTextColumns(
  client: pg.ClientBase,
  selected: readonly number[],
): Promise<TextColumn[]> {
  const { rows } = await client.query<TableName & { forms: BinaryForms | null }>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, ${binaryForms('c.oid')} as forms
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and c.relkind = 'r'
     order by 1, 2`,
    [selected],
  );
  return rows.flatMap(({ schema, name, forms }) =>
    Object.entries(forms ?? {})
      .filter(([, form]) => form === null)
      .map(([column]) => ({ schema, name, column })),
  );
}
