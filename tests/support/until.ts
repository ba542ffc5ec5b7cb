/**
 * Waits for a condition instead of sleeping: as short as possible, with a timeout, and with a reason when it fails.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const DEFAULT_SECONDS = 60;
const DEFAULT_POLL_MILLISECONDS = 50;

/** The condition can no longer come true: a check that throws this ends the wait at once. */
export class Hopeless extends Error {
  override readonly name = 'Hopeless';
}

/**
 * Calls `look` until it returns something other than false, null or undefined, and returns that. Errors of `look`
 * count as "not yet" (a server that restarts), and the last one is part of the failure. Do not return a number: a
 * count of 0 would end the wait.
 * @param what completes the sentence "waited 30 s for …".
 */
export async function until<T extends string | boolean | object | bigint | null | undefined>(
  what: string,
  look: () => T | Promise<T>,
  options: {
    seconds?: number;
    everyMilliseconds?: number;
  } = {},
): Promise<Exclude<T, false | null | undefined>> {
  const seconds = options.seconds ?? DEFAULT_SECONDS;
  const deadline = Date.now() + seconds * 1000;
  let last = 'nothing';
  for (;;) {
    try {
      const seen = await look();
      if (isThere(seen)) return seen;
      last = typeof seen === 'string' ? seen : JSON.stringify(seen);
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    }
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s for ${what}; last: ${last}`);
    await sleep(options.everyMilliseconds ?? DEFAULT_POLL_MILLISECONDS);
  }
}

function isThere<T>(seen: T): seen is Exclude<T, false | null | undefined> {
  return seen !== false && seen !== null && seen !== undefined;
}
