/** Finds intervals that a newer target would store as infinity, before the rows are copied and under the same snapshot. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import {
  extremeIntervalMessage,
  intervalColumnsOf,
  isExtremeInterval,
} from '../catalog/version-form.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { underAnyPath } from '../session/planning.ts';
import { blocks, type BlockRange } from './pipe.ts';
import type { CheckedTable } from './table-lock.ts';

/**
 * Scans the range if the table has columns with intervals.
 * @throws MigrationError `CopyFailed` naming the column.
 */
export async function refuseExtremeIntervals(
  source: pg.ClientBase,
  table: CheckedTable,
  range: BlockRange,
): Promise<void> {
  const oid = `${pg.escapeLiteral(quoted(table))}::pg_catalog.regclass`;
  const { rows: columns } = await source.query<{ name: string }>(intervalColumnsOf(oid));
  if (columns.length === 0) return;
  const checks = columns.map(
    ({ name }, at) =>
      `coalesce(bool_or(${isExtremeInterval(pg.escapeIdentifier(name))}), false) as "c${at}"`,
  );
  const where = blocks(range).join(' and ') || 'true';
  const { rows } = await underAnyPath(source, () =>
    source.query<Record<string, boolean>>(
      /* sql */ `select ${checks.join(', ')} from only ${quoted(table)} where ${where}`,
    ),
  );
  const found = columns.find((_, at) => rows[0]?.[`c${at}`] === true);
  if (!found) return;
  throw new MigrationError('CopyFailed', extremeIntervalMessage(nameOf(table), found.name), {
    ...{ table: nameOf(table), column: found.name },
  });
}
