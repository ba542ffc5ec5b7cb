/**
 * The epoch for steps that write to the target where the stream may be: those of the cutover (sequences, triggers), and the
 * plan of a copy. An attempt of one that was frozen may wake up after the cutover was called off and changes are applied
 * again, after the copy has ended, or after the application moved over: it must not write then. Taking the epoch also ends
 * the session of whoever had it before.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { holdEpoch, takeEpoch } from './epoch.ts';

export interface Turn {
  /** First statement of the writing transaction. @throws MigrationError `Fenced` when somebody took over meanwhile. */
  hold(): Promise<void>;
}

/**
 * Takes the epoch on this session; run the writing transaction on the same one.
 * @param scheduledAt of this attempt, milliseconds on the scheduler's clock. Undefined for a call that nobody scheduled (a
 *   cleanup by hand): no attempt can be beside it, and nothing is taken.
 * @throws MigrationError `Fenced`, `CheckpointMissing`, `Contention`.
 */
export async function takeTurn(
  client: pg.ClientBase,
  migration: Migration,
  scheduledAt: number | undefined,
): Promise<Turn> {
  if (scheduledAt === undefined) return { hold: () => Promise.resolve() };
  const { epoch } = await takeEpoch(client, migration, null, scheduledAt);
  return {
    hold: async () => {
      await holdEpoch(client, migration, epoch);
    },
  };
}
