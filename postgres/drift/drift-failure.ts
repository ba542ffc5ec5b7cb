/** The failures that a drift check ends with: tables to resync, and differences that the operator must resolve. */
import { listed } from '../../contract/listed.ts';
import { MigrationError } from '../../contract/failure.ts';
import { renderDifferences, type Difference } from '../catalog/column-difference.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { DriftReport } from './table-drift.ts';

const SHOWN = 5;

/** For tables that must be resynced, regardless of other findings. */
export function resync(reasons: readonly string[]): MigrationError {
  return new MigrationError('Resync', `to be resynced: ${listed(reasons, SHOWN, '; ')}`);
}

/** For differences that only the operator can resolve. */
export function drift(differences: readonly Difference[]): MigrationError {
  const [first] = differences;
  return new MigrationError(
    'SchemaDrift',
    `the tables of source and target differ: ${renderDifferences(differences)}`,
    {
      ...(first ? { table: `${first.schema}.${first.table}` } : {}),
      ...(first?.column == null ? {} : { column: first.column }),
    },
  );
}

/**
 * Ends the drift check when it found differences or absent tables.
 * @param hint added to the message about absent tables.
 */
export function refuse({ drift: differences, absent }: DriftReport, hint: string): void {
  if (differences.length > 0) {
    const missing = absent.map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: 'is new on the source and missing on the target',
    }));
    throw drift([...differences, ...missing]);
  }
  const [first] = absent;
  if (!first) return;
  throw new MigrationError(
    'UnknownRelation',
    `new and selected on the source, but missing on the target: ${listed(absent.map(nameOf), SHOWN)}${hint}`,
    { table: nameOf(first) },
  );
}
