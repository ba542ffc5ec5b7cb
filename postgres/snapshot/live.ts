/** Waiting for a generation that somebody holds. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import {
  readNewestSnapshot,
  type Backend,
  type OwnedSnapshot,
} from '../control/exported-snapshot.ts';

const POLL_MS = 50;
const BEAT_EVERY_MS = 1_000;

/**
 * The newest generation, once its holder is there and `fits` says that it can be used.
 * @throws `signal.reason` when aborted.
 */
export async function waitForLive(
  migration: Migration,
  clients: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  work: Work,
  fits: (pass: OwnedSnapshot) => boolean,
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

/** SQL for {@link isAlive} in a worker whose role may not see the holder's start: then the pid has to do. */
export function mayBeAlive({ pid, started }: Backend): string {
  return /* sql */ `exists (select from pg_catalog.pg_stat_activity
     where pid = ${pid} and (backend_start is null or backend_start = ${pg.escapeLiteral(started)}::timestamptz))`;
}

/** Whether that backend is there; a reused pid has another start. */
export async function isAlive(source: pg.ClientBase, owner: Backend): Promise<boolean> {
  const { rowCount } = await source.query(
    /* sql */ `
    select from pg_catalog.pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`,
    [owner.pid, owner.started],
  );
  return rowCount === 1;
}
