/**
 * Columns that hold names of objects (regclass and its like). The copy and the stream hand the name over, and the target looks
 * it up: a name that means nothing there stops them, in the middle of a table.
 */
import { keyOfName } from '../../catalog/table-name.ts';
import type { Check } from '../facts.ts';
import type { ObjectNameColumn } from '../read/object-name.ts';
import { counted, error, identifier, list, nameOf, sqlName, warning } from '../wording.ts';

export const objectName: Check = ({ source, target }) => {
  if (source === null || source.objectNames.length === 0) return [];
  const absent = new Set(target?.absentRelations.map(keyOfName));
  const lost = source.objectNames
    .map((column) => ({
      column,
      count: (column.named ?? []).filter((one) => absent.has(keyOfName(one))).length,
    }))
    .filter(({ count }) => count > 0);
  const known = new Set(lost.map(({ column }) => column));
  const others = source.objectNames.filter((one) => !known.has(one));
  const [first] = lost;
  return [
    ...(first
      ? [
          error(
            'object-names',
            `values of these columns name relations that the target will not have when the rows are copied (indexes come after the rows, and what is not selected not at all): ${list(
              lost.map(({ column, count }) => `${columnOf(column)}: ${counted(count, 'name')}`),
            )}; the copy would stop at them (CopyFailed)`,
            `Change or delete those rows, make the column text, or exclude the table; if the target is to have these relations, create the tables with their indexes there beforehand. What is named, on the source: select distinct ${identifier(first.column.column)} from ${sqlName(first.column)};`,
          ),
        ]
      : []),
    ...(others.length > 0
      ? [
          warning(
            'object-names',
            `values of these columns name objects of the database, and the target looks each up when its row arrives: ${list(others.map(columnOf))}`,
            'Where a name means nothing on the target (an index before it is built, a role, what is left out), the copy waits (CopyFailed) or the stream stops (ChangeFailed), until the object is there or the row was changed on the source.',
          ),
        ]
      : []),
  ];
};

function columnOf(column: ObjectNameColumn): string {
  return `${nameOf(column)}.${column.column} (${column.type})`;
}
