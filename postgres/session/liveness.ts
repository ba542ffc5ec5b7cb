/**
 * Heartbeats of long DDL. A timer alone would only prove that this process runs. Each heartbeat therefore follows an answer of
 * the server that one of our sessions is working, and carries its progress.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { connectSide } from './open.ts';
import { backendPidOf } from '../connection/socket.ts';
import type { Place } from './step-session.ts';

/** Many heartbeats fit into a timeout of 10 s, even when a busy machine answers each query late. */
const QUERY_EVERY_MS = 500;

interface Row {
  percent: string | null;
  waiting: boolean;
  active: boolean;
  changed: string | null;
}

/**
 * Runs `step` and sends heartbeats while it runs. A heartbeat requires that a backend is active, or that since the last query a
 * backend has started or ended a statement or the description has changed (many short statements leave backends idle at every
 * other query). One more follows at the end. A step that ends within the first interval opens no session.
 * @param describe the text next to the numbers: evaluated at every heartbeat.
 */
export async function whileWatched<T>(
  options: Place & { readonly pids: readonly number[] },
  work: Pick<Work, 'beat'>,
  describe: () => Heartbeat,
  step: () => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const watching = loop(ended.signal);

  async function loop(signal: AbortSignal): Promise<void> {
    let said = JSON.stringify(describe());
    let seen: string | null = null;
    await sleep(QUERY_EVERY_MS, undefined, { signal }).catch(() => undefined);
    while (!signal.aborted) {
      try {
        // Preflight and the start of the schema step run before the migration is registered.
        await using client = await connectSide(options.side, options.migration, options.purpose, {
          aside: true,
          unregistered: 'any more',
        });
        while (!signal.aborted) {
          const { rows } = await client.query<Row>(PROGRESS, [options.pids]);
          const {
            percent = null,
            waiting: waitingForLock = false,
            active,
            changed,
          } = rows[0] ?? {};
          const now = JSON.stringify(describe());
          const worked = changed != null && seen !== null && changed !== seen;
          if (active === true || worked || now !== said) {
            work.beat({ ...describe(), percent, waitingForLock });
          }
          said = now;
          seen = changed ?? seen;
          await sleep(QUERY_EVERY_MS, undefined, { signal });
        }
      } catch {
        // The step ended, or the server does not answer. Without an answer there must be no heartbeat.
        await sleep(QUERY_EVERY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  try {
    const result = await step();
    // Without this, a chain of steps that each end before their first query would send no heartbeat at all.
    work.beat(describe());
    return result;
  } finally {
    ended.abort();
    // A hanging connection attempt must not delay a step that was cancelled.
    await Promise.race([watching, sleep(QUERY_EVERY_MS, undefined, { ref: false })]);
  }
}

/**
 * {@link whileWatched} over one session on each side: for steps that read both catalogs, which takes long with many tables.
 */
export async function whileAllWatched<T>(
  sides: readonly (Place & { readonly client: pg.Client })[],
  work: Pick<Work, 'beat'>,
  describe: () => Heartbeat,
  step: () => Promise<T>,
): Promise<T> {
  const [first, ...others] = sides;
  if (first === undefined) return step();
  const { side, migration, purpose, client } = first;
  const pid = backendPidOf(client);
  return whileWatched(
    { side, migration, purpose, pids: pid === null ? [] : [pid] },
    work,
    describe,
    () => whileAllWatched(others, work, describe, step),
  );
}

/** The view's block and tuple counts belong to different phases of a build. */
const PROGRESS = /* sql */ `
select max(case when p.tuples_total > 0 then round(100.0 * p.tuples_done / p.tuples_total)
                when p.blocks_total > 0 then round(100.0 * p.blocks_done / p.blocks_total) end)::text as percent,
       coalesce(bool_and(coalesce(a.wait_event_type = 'Lock', false)) filter (where a.state = 'active'), false) as waiting,
       coalesce(bool_or(a.state = 'active'), false) as active, max(a.state_change)::text as changed
  from pg_catalog.pg_stat_activity a
  left join pg_catalog.pg_stat_progress_create_index p on p.pid = a.pid
 where a.pid = any($1)`;
