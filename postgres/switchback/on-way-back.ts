/**
 * Failures of the way back: steps of the other direction say "source" for the database that they read, which is the new one here.
 * So every message begins with the direction, and names the databases as the operator knows them.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { inReverse } from '../../contract/reversed.ts';
import { classify } from '../connection/failure.ts';

/** Begins the message of each failure of the way back. */
export function direction({ source, target }: Migration): string {
  return `way back from "${source}" to "${target}"`;
}

/**
 * Runs a step of the way back.
 * @param signal of a step that it cancels.
 * @throws the step's MigrationError, with the direction in front; a `Resync` as {@link wayBackLost}; the signal's reason.
 */
export async function onWayBack<T>(
  reverse: Migration,
  what: string,
  step: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await step();
  } catch (error) {
    signal?.throwIfAborted();
    const known = classify(error, { step: what }, 'Internal');
    if (known.code === 'WayBackLost') throw known;
    if (known.code === 'Resync') throw wayBackLost(reverse, inReverse(known.message));
    throw new MigrationError(
      known.code,
      `${direction(reverse)}: ${inReverse(known.message)}`,
      known.details,
      known.cause,
    );
  }
}

/**
 * Nothing can be copied back while the application writes to the new database, so what a resync would repair in the other direction
 * ends the way back.
 */
export function wayBackLost(reverse: Migration, why: string): MigrationError {
  return new MigrationError(
    'WayBackLost',
    `${direction(reverse)} is lost: ${why}; the application on "${reverse.source}" is not affected`,
  );
}
