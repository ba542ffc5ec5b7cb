/** Transactions of the source that see what a generation sees, on any connection of any worker. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { queryTogether } from '../connection/together.ts';
import type { OwnedSnapshot } from '../control/exported-snapshot.ts';
import { mayBeAlive } from './live.ts';
import { parseSnapshot } from './visibility.ts';

/** What an exported snapshot answers when its session is gone: by version, and by how it ended. */
const GONE = new Set<string | undefined>([
  SQLSTATE.invalidParameterValue,
  SQLSTATE.undefinedObject,
  SQLSTATE.notInPrerequisiteState,
]);

/**
 * Opens a read-only transaction under the generation's snapshot. One round trip: every chunk begins with it.
 *
 * A snapshot's name is made of small counters that begin again when the server starts: another session's snapshot may have it. What
 * the snapshot sees must be what was noted. That alone is not enough, because after a crash the ids are given out again, too: the
 * holder, asked after the import, must still be there, and then the name was its own.
 * @throws MigrationError `SnapshotLost` when nobody holds it any more.
 */
export async function beginUnder(source: pg.ClientBase, pass: OwnedSnapshot): Promise<void> {
  try {
    const [row] = await queryTogether<Imported>(
      source,
      /* sql */ `
      begin isolation level repeatable read read only;
      set transaction snapshot ${pg.escapeLiteral(pass.snapshot)};
      select pg_catalog.pg_current_snapshot()::text as snapshot, ${mayBeAlive(pass.owner)} as alive`,
    );
    if (row && isTheExported(row, pass)) return;
  } catch (error) {
    const state = sqlstate(error);
    if (!GONE.has(state)) throw error;
    await source.query(/* sql */ `rollback`);
    throw snapshotLost(pass.number, error);
  }
  await source.query(/* sql */ `rollback`);
  throw snapshotLost(pass.number);
}

interface Imported {
  readonly snapshot: string;
  readonly alive: boolean;
}

function isTheExported({ snapshot, alive }: Imported, pass: OwnedSnapshot): boolean {
  const seen = parseSnapshot(snapshot);
  const same =
    seen.xmin === pass.xmin &&
    seen.xmax === pass.xmax &&
    seen.xip.size === pass.xip.size &&
    [...seen.xip].every((xid) => pass.xip.has(xid));
  return same && alive;
}

/** The failure that the copy's next round settles. */
export function snapshotLost(pass: number, cause?: unknown): MigrationError {
  return new MigrationError(
    'SnapshotLost',
    `generation ${pass} of the snapshot is over: its tables that are not finished are taken again under the next one`,
    {},
    cause,
  );
}
