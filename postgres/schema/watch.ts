/**
 * Heartbeats of long DDL. A timer alone would prove only that this process turns: each beat follows an answer of the
 * server that says that one of our sessions is at work, with what it has got through.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { connect, type Purpose } from '../connection/session.ts';
import { backendPidOf } from '../replication/socket.ts';

/** Several beats fit into a heartbeat timeout of 10 s. */
const LOOK_EVERY_MS = 1_000;

interface Row {
  percent: string | null;
  waiting: boolean;
}

/**
 * Runs `step`, and beats as long as it runs and at least one of the backends executes something, or what there is to say has
 * changed since the last look (many short statements leave the backends idle at every other look). A step that is done within
 * the first interval costs no session.
 * @param describe what to say beside the numbers: evaluated at every beat.
 */
export async function whileWatched<T>(
  options: {
    readonly service: string;
    readonly purpose: Purpose;
    readonly pids: readonly number[];
  },
  work: Pick<Work, 'beat'>,
  describe: () => Heartbeat,
  step: () => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const watching = loop(ended.signal);

  async function loop(signal: AbortSignal): Promise<void> {
    let said = JSON.stringify(describe());
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    while (!signal.aborted) {
      try {
        await using client = await connect(options.service, options.purpose);
        while (!signal.aborted) {
          const { rows } = await client.query<Row>(PROGRESS, [options.pids]);
          const row = rows[0];
          const now = JSON.stringify(describe());
          if (row !== undefined || now !== said) {
            const { percent = null, waiting: waitingForLock = false } = row ?? {};
            work.beat({ ...describe(), percent, waitingForLock });
          }
          said = now;
          await sleep(LOOK_EVERY_MS, undefined, { signal });
        }
      } catch {
        // Ended, or the server does not answer: then there is nothing to report, and no beat is the right report.
        await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  try {
    return await step();
  } finally {
    ended.abort();
    // A connection attempt that hangs must not hold up a step that was told to stop.
    await Promise.race([watching, sleep(LOOK_EVERY_MS, undefined, { ref: false })]);
  }
}

/**
 * {@link whileWatched} over one session on each side: for steps that read both catalogs, which takes long where there are many
 * tables.
 */
export async function whileAllWatched<T>(
  sides: readonly {
    readonly service: string;
    readonly purpose: Purpose;
    readonly client: pg.Client;
  }[],
  work: Pick<Work, 'beat'>,
  describe: () => Heartbeat,
  step: () => Promise<T>,
): Promise<T> {
  const [side, ...others] = sides;
  if (side === undefined) return step();
  const pid = backendPidOf(side.client);
  return whileWatched(
    { service: side.service, purpose: side.purpose, pids: pid === null ? [] : [pid] },
    work,
    describe,
    () => whileAllWatched(others, work, describe, step),
  );
}

/** No row when none of the sessions is at work. The view's block and tuple counts belong to different steps of a build. */
const PROGRESS = /* sql */ `
select max(case when p.tuples_total > 0 then round(100.0 * p.tuples_done / p.tuples_total)
                when p.blocks_total > 0 then round(100.0 * p.blocks_done / p.blocks_total) end)::text as percent,
       bool_and(coalesce(a.wait_event_type = 'Lock', false)) as waiting
  from pg_catalog.pg_stat_activity a
  left join pg_catalog.pg_stat_progress_create_index p on p.pid = a.pid
 where a.pid = any($1) and a.state = 'active'
having count(*) > 0`;
