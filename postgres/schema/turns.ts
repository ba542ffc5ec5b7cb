/**
 * Pure work over hundreds of thousands of entries, in pieces: between two of them timers run and heartbeats go out. A piece is what
 * a generator does up to its next `yield`.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Some ten milliseconds' worth, some hundred on a busy machine or beside a collection of a large heap. */
const ENTRIES_PER_TURN = 2_000;

/** All of it in one go, for what is known to be small. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** With a turn for others after each piece. @param told called after each of them. */
export async function inTurns<T>(
  work: Generator<void, T>,
  told: () => void = () => undefined,
): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    told();
    await nextTurn();
  }
}

/** Calls `each` for all items, in pieces. */
export function* overAll<T>(items: readonly T[], each: (item: T) => void): Generator<void, void> {
  for (const [at, item] of items.entries()) {
    each(item);
    if (at % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) yield;
  }
}

/** `items.filter`, in pieces. */
export function* thoseOf<T>(
  items: readonly T[],
  wanted: (item: T) => boolean,
): Generator<void, T[]> {
  const found: T[] = [];
  yield* overAll(items, (item) => {
    if (wanted(item)) found.push(item);
  });
  return found;
}
