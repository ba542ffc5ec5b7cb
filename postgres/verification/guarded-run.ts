/** Reading for a verification under the limits and the guard of the copy. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { GuardInput } from '../../contract/guard.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { Guard } from '../guard/guard.ts';
import { readNewestSnapshot } from '../store/exported-snapshot.ts';
import { ThrottledRun } from '../throttle/throttled-run.ts';

/** What decides when reading may begin and go on. */
export type Pace = Pick<ThrottledRun, 'ready' | 'read' | 'passed' | 'isFree'> & AsyncDisposable;

/** Nothing waits: while the writes are stopped, only time counts. */
export const UNPACED: Pace = {
  ready: () => Promise.resolve(),
  read: () => undefined,
  passed: () => null,
  isFree: true,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

const POLL_MS = 200;
/** More than connecting and all measures with their timeouts take on a server that is only slow. */
const ANSWER_WITHIN_MS = 60_000;

/** Joins those who read from the source. @param describe for heartbeats while it waits. */
export async function joinReaders(
  migration: Migration,
  target: pg.ClientBase,
  work: Work,
  describe: () => Heartbeat,
): Promise<ThrottledRun> {
  const pass = await readPass(target, migration);
  const held = (reason: string) => work.beat({ ...describe(), waitingFor: reason });
  return ThrottledRun.join(migration, pass, target, { work, held });
}

/**
 * Measures the source as during the copy. Null without a guard in the input.
 * @param target a session outside of a transaction.
 */
export async function guarding(
  { migration, guard }: { readonly migration: Migration; readonly guard?: GuardInput | undefined },
  target: pg.ClientBase,
  { signal, log, beat }: Work,
): Promise<Guard | null> {
  // Without `tell`: the workflow shows a guard only while rows are copied, and each report costs four events of its history.
  const pass = await readPass(target, migration);
  return Guard.begin(migration, guard, pass, { signal, log, beat });
}

/**
 * The same, once the guard has measured often enough to hold: its first scan may be the only one, and large.
 * @param withinMs for each measurement: a frozen server enforces no timeout of its own.
 * @throws MigrationError `Stalled` when one takes longer.
 */
export async function guardingFromTheStart(
  step: Parameters<typeof guarding>[0],
  target: pg.ClientBase,
  work: Work,
  withinMs = ANSWER_WITHIN_MS,
): Promise<Guard | null> {
  const guard = await guarding(step, target, work);
  try {
    let [looks, since] = [0, performance.now()];
    while (guard && !guard.hasDecided) {
      const now = performance.now();
      if (guard.looks > looks) [looks, since] = [guard.looks, now];
      // Heartbeats without an answer must end: Temporal would wait for ever.
      if (now - since > withinMs) throw unanswered(withinMs);
      work.beat({ step: 'measuring the source', ...guard.details });
      await sleep(POLL_MS, undefined, { signal: work.signal });
    }
    return guard;
  } catch (error) {
    await guard?.[Symbol.asyncDispose]();
    throw error;
  }
}

function unanswered(ms: number): MigrationError {
  return new MigrationError(
    'Stalled',
    `the guard of the source has finished no measurement for ${Math.round(ms / 1000)} s: a database does not answer`,
  );
}

/** Guard and streams know each other by the number of the copy's newest snapshot. */
async function readPass(target: pg.ClientBase, migration: Migration): Promise<number> {
  return (await readNewestSnapshot(target, migration))?.number ?? 0;
}
