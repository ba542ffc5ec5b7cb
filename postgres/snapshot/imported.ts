/** Transactions of the source that see what a generation sees, on any connection of any worker. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { HeldGeneration } from '../control/generation.ts';

/** What an exported snapshot answers when its session is gone: by version, and by how it ended. */
const GONE = new Set<string | undefined>([
  SQLSTATE.invalidParameterValue,
  SQLSTATE.undefinedObject,
  SQLSTATE.notInPrerequisiteState,
]);

/**
 * Opens a read-only transaction under the generation's snapshot.
 * @throws MigrationError `SnapshotLost` when nobody holds it any more.
 */
export async function beginUnder(
  source: pg.ClientBase,
  generation: Pick<HeldGeneration, 'number' | 'snapshot'>,
): Promise<void> {
  await source.query(/* sql */ `begin isolation level repeatable read read only`);
  try {
    await source.query(
      /* sql */ `set transaction snapshot ${pg.escapeLiteral(generation.snapshot)}`,
    );
  } catch (error) {
    const state = sqlstate(error);
    if (!GONE.has(state)) throw error;
    await source.query(/* sql */ `rollback`);
    throw snapshotLost(generation.number, error);
  }
}

/** The failure that the copy's next round settles. */
export function snapshotLost(generation: number, cause?: unknown): MigrationError {
  return new MigrationError(
    'SnapshotLost',
    `generation ${generation} of the snapshot is over: its tables that are not finished are taken again under the next one`,
    {},
    cause,
  );
}
