/**
 * Columns that hold object names (regclass and similar types). The copy and the stream send the name, and the target resolves it:
 * an unknown name stops them in the middle of a table.
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
            `values of these columns name relations that the target will not have when the rows are copied (indexes are built after the rows, unselected relations never): ${list(
              lost.map(({ column, count }) => `${columnOf(column)}: ${counted(count, 'name')}`),
            )}; the copy would stop at them (CopyFailed)`,
            `Change or delete those rows, change the column to text, exclude the table, or create the tables with their indexes on the target beforehand. To list the names, on the source: select distinct ${identifier(first.column.column)} from ${sqlName(first.column)};`,
          ),
        ]
      : []),
    ...(others.length > 0
      ? [
          warning(
            'object-names',
            `values of these columns name database objects, and the target resolves each name when its row arrives: ${list(others.map(columnOf))}`,
            'If the target lacks a named object (an index that is not built yet, a role, an excluded object), the copy waits (CopyFailed) or the stream stops (ChangeFailed). Create the object there, or change the row on the source.',
          ),
        ]
      : []),
  ];
};

function columnOf(column: ObjectNameColumn): string {
  return `${nameOf(column)}.${column.column} (${column.type})`;
}
