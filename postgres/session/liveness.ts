/**
 * Heartbeats of steps whose work a server does. A timer alone would only prove that this process runs. Each heartbeat therefore
 * follows an answer of the server that one of our sessions is working, and carries its progress.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { Onlooker, type Observed } from './onlooker.ts';
import type { Place } from './session.ts';

/** Many heartbeats fit into a timeout of 10 s, even when a busy machine answers each query late. */
const QUERY_EVERY_MS = 500;

/** A session that is watched: a {@link Session}, or any other client's backend. */
export interface Watched extends Place {
  readonly pid: number | null;
}

/**
 * Runs `step` and sends heartbeats while it runs. A heartbeat requires that one of the sessions is active, or that since the last
 * query one has started or ended a statement or the description has changed (many short statements leave backends idle at every
 * other query). One more follows at the end. A step that ends within the first interval opens no session.
 * @param describe the text next to the numbers: evaluated at every heartbeat.
 */
export async function whileWatched<T>(
  sessions: readonly Watched[],
  work: Pick<Work, 'beat'>,
  describe: () => Heartbeat,
  step: () => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const watching = observed(sessions).map((some) => watch(some, work, describe, ended.signal));
  try {
    const result = await step();
    // Without this, a chain of steps that each end before their first query would send no heartbeat at all.
    work.beat(describe());
    return result;
  } finally {
    ended.abort();
    await Promise.all(watching);
  }
}

/** One onlooker per side: progress on either side counts. */
function observed(sessions: readonly Watched[]): Observed[] {
  return (['source', 'target'] as const).flatMap((side) => {
    const here = sessions.filter((one) => one.side === side);
    return here[0] === undefined ? [] : [{ ...place(here[0]), pids: here.map(({ pid }) => pid) }];
  });
}

/** A session is a client, which cannot be spread. */
function place({ side, migration, purpose }: Place): Place {
  return { side, migration, purpose };
}

async function watch(
  sessions: Observed,
  work: Pick<Work, 'beat'>,
  describe: () => Heartbeat,
  ended: AbortSignal,
): Promise<void> {
  const onlooker = new Onlooker(sessions);
  // A step that was cancelled must not wait for an answer.
  const closed = new Promise<void>((resolve) => {
    ended.addEventListener('abort', () => resolve(onlooker[Symbol.asyncDispose]()), { once: true });
  });
  const pause = () => sleep(QUERY_EVERY_MS, undefined, { signal: ended }).catch(() => undefined);
  let said = JSON.stringify(describe());
  for (await pause(); !ended.aborted; await pause()) {
    const { seen, percent, waitingForLock } = await onlooker.look();
    const now = JSON.stringify(describe());
    // Without an answer there must be no heartbeat.
    const works = seen === 'active' || seen === 'progressed' || (seen === 'idle' && now !== said);
    if (works && !ended.aborted) work.beat({ ...describe(), percent, waitingForLock });
    said = now;
  }
  await closed;
}
