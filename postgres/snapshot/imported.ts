/** Transactions on the source under an exported snapshot, on any connection of any worker. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { queryTogether } from '../session/query-together.ts';
import type { OwnedSnapshot } from '../store/exported-snapshot.ts';
import { mayBeAlive } from './owner-liveness.ts';
import { parseSnapshot } from '../catalog/visibility.ts';

/** Errors of importing a snapshot whose session is gone; they depend on the version and on how it ended. */
const GONE = new Set<string | undefined>([
  SQLSTATE.invalidParameterValue,
  SQLSTATE.undefinedObject,
  SQLSTATE.notInPrerequisiteState,
]);

/**
 * Opens a read-only transaction under the exported snapshot. One round trip, because every chunk starts with it.
 *
 * A snapshot's name consists of small counters that restart with the server, so another session's snapshot may have the same
 * name. The imported snapshot must see what was recorded. That alone is not enough, because after a crash transaction ids are
 * reused, too: the owner must still exist after the import, which proves that the name was its own.
 * @throws MigrationError `SnapshotLost` when the owner is gone.
 */
export async function beginUnder(source: pg.ClientBase, exported: OwnedSnapshot): Promise<void> {
  try {
    const [row] = await queryTogether<Imported>(
      source,
      /* sql */ `
      begin isolation level repeatable read read only;
      set transaction snapshot ${pg.escapeLiteral(exported.snapshot)};
      select pg_catalog.pg_current_snapshot()::text as snapshot, ${mayBeAlive(exported.owner)} as alive`,
    );
    if (row && isTheExported(row, exported)) return;
  } catch (error) {
    const state = sqlstate(error);
    if (!GONE.has(state)) throw error;
    await source.query(/* sql */ `rollback`);
    throw snapshotLost(exported.number, error);
  }
  await source.query(/* sql */ `rollback`);
  throw snapshotLost(exported.number);
}

interface Imported {
  readonly snapshot: string;
  readonly alive: boolean;
}

function isTheExported({ snapshot, alive }: Imported, exported: OwnedSnapshot): boolean {
  const seen = parseSnapshot(snapshot);
  const same =
    seen.xmin === exported.xmin &&
    seen.xmax === exported.xmax &&
    seen.xip.size === exported.xip.size &&
    [...seen.xip].every((xid) => exported.xip.has(xid));
  return same && alive;
}

/** The next pass of the copy resolves this failure. */
export function snapshotLost(pass: number, cause?: unknown): MigrationError {
  return new MigrationError(
    'SnapshotLost',
    `pass ${pass} is over because its exported snapshot is gone or superseded: the next pass copies its unfinished tables`,
    {},
    cause,
  );
}
