/**
 * The epoch for steps that write to the target while a stream may run: those of the cutover (sequences, triggers) and the plan of
 * a copy. A frozen attempt of such a step may wake up after the cutover was cancelled and changes are applied again, after the
 * copy has ended, or after the application was switched over: it must not write then. Taking the epoch also terminates the
 * session of the previous attempt.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { holdEpoch, takeEpoch } from './epoch.ts';

export interface Turn {
  /** First statement of the writing transaction. @throws MigrationError `Fenced` when another attempt took over. */
  hold(): Promise<void>;
}

/**
 * Takes the epoch on this session; run the writing transaction on the same session.
 * @param scheduledAt of this attempt, milliseconds on the scheduler's clock. Undefined for a call that was not scheduled (a
 *   manual cleanup): no attempt can run in parallel, and the epoch is not taken.
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
