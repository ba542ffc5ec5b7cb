/** A change that found no row, or that the target refused: the table may have had changes that were never sent. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { type FailureCode } from '../../contract/failure-catalogue.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { compareDefinitions, readDefinitions } from '../catalog/table-definition.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { DriftCheck } from '../drift/drift-check.ts';
import { OTHER_FILE } from '../drift/follow.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';

/** SQLSTATE of a text that is not valid for its type. */
const INVALID_TEXT = '22P02';
const OLDER_TYPE = 'that its type no longer has on either side';
/** Failures of a change that finds other rows than expected. */
const UNLIKE: ReadonlySet<FailureCode> = new Set(['RowMissing', 'ChangeFailed']);

/** @returns the table that a resync fixes, and why, without its name; null when the failure has another cause. */
export async function unmatchedChange(
  source: pg.ClientBase,
  { rows, checked }: { readonly rows: readonly PlannedRelationRow[]; readonly checked: DriftCheck },
  failure: unknown,
): Promise<{ readonly row: PlannedRelationRow; readonly why: string } | null> {
  if (!(failure instanceof MigrationError) || !UNLIKE.has(failure.code)) return null;
  const row = rows.find((one) => nameOf(one) === failure.details.table);
  const now = row && (await readDefinitions(source, [row.oid])).get(row.oid);
  if (!row?.definition || !now) return null;
  if (failure.details.sqlstate === INVALID_TEXT && outgrown(row, checked)) {
    const at = failure.details.lsn ?? 'a position before the last check';
    return { row, why: `has a change at ${at} with a label or row ${OLDER_TYPE}` };
  }
  const { opaque, replaced } = compareDefinitions(row.definition.source, now);
  // Also if a TRUNCATE arrived since then: the change may be from before it.
  if (opaque === null && !replaced) return null;
  return { row, why: opaque ?? OTHER_FILE };
}

/**
 * Whether the target's types are newer than a change that they refuse: labels or attributes were added since the copy, the target
 * has all of them, and the change is from before one was renamed or added. It would be refused forever.
 */
function outgrown(row: PlannedRelationRow, { ahead, alike, settled }: DriftCheck): boolean {
  const types = (alike.get(row.id) ?? settled.get(row.id) ?? row.definition)?.types;
  const { schema, name } = destinationOf(row);
  if (ahead.some((one) => one.schema === schema && one.table === name)) return false;
  return Object.values(types?.source ?? {}).some(({ grown }) => grown);
}
