/** Inheritance children that allow nulls where their parent does not; PostgreSQL 18 and later refuse them. */
import { NOT_NULL_INHERITED } from '../../archive/nullable-child.ts';
import { createsTables, type Check } from '../facts.ts';
import { error, identifier, list, nameOf, sqlName, statements } from '../wording.ts';

export const nullableChild: Check = ({ source, target }) => {
  if (source === null || target === null || !createsTables(target)) return [];
  const columns = source.nullableColumns;
  if (target.major < NOT_NULL_INHERITED || columns.length === 0) return [];
  return [
    error(
      'nullable-child',
      `columns allow nulls although they are NOT NULL in the parent table, which PostgreSQL ${target.major} does not allow: ${list(columns.map((one) => `${nameOf(one)}.${one.column}`))}`,
      `On the source, replace the nulls and run: ${statements(columns.map((one) => `alter table only ${sqlName(one)} alter ${identifier(one.column)} set not null`))} Or drop the parent's NOT NULL, or detach the child (alter table … no inherit …).`,
    ),
  ];
};
