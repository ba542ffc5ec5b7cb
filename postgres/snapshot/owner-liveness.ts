/** Waits for an exported snapshot with a live owner. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import {
  readNewestSnapshot,
  type Backend,
  type OwnedSnapshot,
} from '../store/exported-snapshot.ts';

const POLL_MS = 50;
const BEAT_EVERY_MS = 1_000;

/**
 * The newest exported snapshot, once its owner is alive and `fits` accepts it.
 * @throws `signal.reason` when aborted.
 */
export async function waitForLiveOwner(
  migration: Migration,
  clients: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  work: Work,
  fits: (exported: OwnedSnapshot) => boolean,
): Promise<OwnedSnapshot> {
  const began = performance.now();
  let beaten = began;
  for (;;) {
    work.signal.throwIfAborted();
    const newest = await readNewestSnapshot(clients.target, migration);
    if (newest !== null && fits(newest) && (await isAlive(clients.source, newest.owner))) {
      return newest;
    }
    if (performance.now() - beaten > BEAT_EVERY_MS) {
      beaten = performance.now();
      const seconds = Math.round((performance.now() - began) / 1000);
      work.beat({ step: 'waiting for a snapshot', seconds });
    }
    await sleep(POLL_MS, undefined, { signal: work.signal }).catch(() => undefined);
  }
}

/** SQL for {@link isAlive} where the role may not see the owner's start time: then the pid must suffice. */
export function mayBeAlive({ pid, started }: Backend): string {
  return /* sql */ `exists (select from pg_catalog.pg_stat_activity
     where pid = ${pid} and (backend_start is null or backend_start = ${pg.escapeLiteral(started)}::timestamptz))`;
}

/** Whether the backend still exists; a reused pid has another start time. */
export async function isAlive(source: pg.ClientBase, owner: Backend): Promise<boolean> {
  const { rowCount } = await source.query(
    /* sql */ `
    select from pg_catalog.pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`,
    [owner.pid, owner.started],
  );
  return rowCount === 1;
}
