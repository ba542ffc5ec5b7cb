/** Inheritance children that allow nulls where their parent does not; PostgreSQL 18 and later refuse them. */
import {
  NOT_NULL_INHERITED,
  readNullableColumns,
  type NullableColumn,
} from '../../archive/nullable-child.ts';
import { identifier, list, nameOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses } from '../check.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import { relations } from '../facts/selected.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import type { SourceReading } from '../reading.ts';

const { codes, error } = raising({
  'nullable-child': refuses(
    'Inheritance children allow nulls where the parent does not, which the target (18 and later) refuses.',
  ),
});

export const inheritedNull = defineCheck({
  codes,
  source: { nullableColumns: readColumns },
  target: { tables },
  find: ({ source, target }) => {
    if (source === null || target === null || !createsTables(target)) return [];
    const columns = source.nullableColumns;
    if (target.major < NOT_NULL_INHERITED || columns.length === 0) return [];
    return error(
      'nullable-child',
      `columns allow nulls although they are NOT NULL in the parent table, which PostgreSQL ${target.major} does not allow: ${list(columns.map((one) => `${nameOf(one)}.${one.column}`))}`,
      `On the source, replace the nulls and run: ${statements(columns.map((one) => `alter table only ${sqlName(one)} alter ${identifier(one.column)} set not null`))} Or drop the parent's NOT NULL, or detach the child (alter table … no inherit …).`,
    );
  },
});

/** Of the selected tables; none from version 18 on. */
async function readColumns(of: SourceReading): Promise<NullableColumn[]> {
  const selected = new Set((await relations(of)).map(keyOfName));
  return (await readNullableColumns(of.client)).filter((one) => selected.has(keyOfName(one)));
}
