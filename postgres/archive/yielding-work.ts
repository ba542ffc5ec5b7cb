/**
 * Pure work over hundreds of thousands of entries, split into pieces: timers and heartbeats run between them. A piece is what a
 * generator does up to its next `yield`.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** About 10 ms of work; about 100 ms on a busy machine or during garbage collection of a large heap. */
const ENTRIES_PER_TURN = 2_000;

/** Runs all pieces at once, for input that is known to be small. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** Lets other work run after each piece. @param onPiece called after each piece. */
export async function inTurns<T>(
  work: Generator<void, T>,
  onPiece: () => void = () => undefined,
): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    onPiece();
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
