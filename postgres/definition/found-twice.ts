/** Looks twice, so that DDL that arrives on both sides while they are compared is no difference. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Difference } from '../../contract/definition.ts';
import type { Work } from '../../contract/work.ts';
import { sqlstate } from '../connection/failure.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { keyOfFact } from './fact.ts';

export interface Sessions {
  readonly source: Session;
  readonly target: Session;
}

/** Waiting for a lock on a live database would make its other sessions wait, too. */
export const LOCK_TIMEOUT_MS = 5_000;
/** DDL on both sides is never at the same moment: what differs now may be equal a moment later. */
const AGAIN_AFTER_MS = 1_000;
/** A catalog that changes while it is read makes the server's own functions fail. */
const TRIES = 5;

/**
 * @param look compares once, and reports how many relations it has compared.
 * @returns what both looks have found.
 */
export async function foundTwice(
  { source, target }: Sessions,
  step: string,
  { signal, beat = () => undefined }: Partial<Pick<Work, 'signal' | 'beat'>>,
  look: (report: (relations: number) => void) => Promise<Difference[]>,
): Promise<Difference[]> {
  const progress = { step, relations: 0 };
  const both = [source, target];
  return whileWatched(
    both,
    { beat },
    () => ({ ...progress }),
    async () => {
      const once = () =>
        unlessChanging(async () => {
          await Promise.all(
            both.map((one) => one.query(`set search_path = ''; set quote_all_identifiers = off`)),
          );
          return look((relations) => Object.assign(progress, { relations }));
        });
      const first = await once();
      if (first.length === 0) return [];
      await sleep(AGAIN_AFTER_MS, undefined, signal ? { signal } : {});
      const before = new Set(first.map(keyOfFact));
      return (await once()).filter((one) => before.has(keyOfFact(one)));
    },
  );
}

/** An object that is dropped between the list and its description makes a statement fail. */
async function unlessChanging<T>(read: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await read();
    } catch (error) {
      if (tries === TRIES || !GONE.has(sqlstate(error) ?? '')) throw error;
    }
  }
}

/** `cache lookup failed` has no code of its own (XX000). */
const GONE: ReadonlySet<string> = new Set(['XX000', '42P01', '42704', '42883', '3F000']);
