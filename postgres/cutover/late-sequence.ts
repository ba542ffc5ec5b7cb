/**
 * The part of the final check that no WAL position shows: sequences that moved after they were set. `nextval` and `setval`
 * without a row (an id allocator, a rolled-back insert, an excluded table that shares the sequence) leave nothing in the stream,
 * and the target would return the same values again.
 */
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { Relation } from '../catalog/relation.ts';
import type { Selection } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { keyOf, type Sequence } from './sequence.ts';
import { readStates, readWanted } from './sequence-state.ts';
import { withoutWaiting } from './short-lock.ts';

const STEP = 'comparing sequences';

/**
 * Compares what `setSequences` set with the source's current state. That step reports sequences that the target lacks.
 * @param source a session with a lock_timeout.
 * @param selection of the input.
 * @param relations the tables that it selects.
 * @param counted oids of the tables whose writers must have stopped: writers of others may continue to use their sequences.
 * @returns `schema.name (sequence)` of each sequence that differs, with the source's name.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function movedSequences(
  source: Session,
  migration: Migration,
  selection: Selection,
  relations: readonly Relation[],
  counted: ReadonlySet<number>,
  { signal, beat }: Pick<Work, 'signal' | 'beat'>,
): Promise<string[]> {
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const progress = { step: STEP, done: 0 };
    const report = (done: number) => {
      signal.throwIfAborted();
      progress.done = done;
    };
    return await whileWatched(
      [source, target],
      { beat },
      () => ({ ...progress }),
      async () => {
        const { sequences, pairs } = await readWanted(
          { source, target },
          migration,
          selection,
          relations,
        );
        const still = relations.filter(({ oid }) => counted.has(oid));
        const names = new Set(still.map(({ schema, name }) => keyOf(schema, name)));
        const isStill = standsStill(names, counted);
        const both = sequences.filter(isStill).flatMap((here) => {
          const there = pairs.get(here);
          return there === undefined ? [] : [{ here, there }];
        });
        const theirs = await readStates(
          target,
          both.map(({ there }) => there),
          report,
        );
        // Last, because later moves go unnoticed.
        const ours = await withoutWaiting(source, () =>
          readStates(
            source,
            both.map(({ here }) => here),
            report,
          ),
        );
        return both
          .filter(({ here, there }) => {
            const [now, set] = [ours.get(here), theirs.get(there)];
            return now?.value !== set?.value || now?.called !== set?.called;
          })
          .map(({ here }) => `${nameOf(here)} (sequence)`);
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: STEP }, 'Internal');
  }
}

/** Whether the sequence must not move any longer: tables in `counted` use it, or no table is known to use it. */
function standsStill(
  names: ReadonlySet<string>,
  counted: ReadonlySet<number>,
): (sequence: Sequence) => boolean {
  return ({ table, table_schema, users }) => {
    if (table === null && users.length === 0) return true;
    const isOwned = table !== null && names.has(keyOf(table_schema, table));
    return isOwned || users.some((oid) => counted.has(oid));
  };
}
