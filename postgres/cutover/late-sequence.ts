/**
 * The part of the last look that no WAL position shows: sequences that moved after they were set. `nextval` and `setval` without a row
 * (an id allocator, a rolled back insert, an excluded table that shares the sequence) leave nothing in the stream, and the target
 * would hand out the same values once more.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { Relation } from '../catalog/relation.ts';
import type { Selection } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../identity/connect.ts';
import { whileAllWatched } from '../schema/watch.ts';
import { keyOf, type Sequence } from './sequence.ts';
import { readStates, readWanted } from './sequence-state.ts';
import { withoutWaiting } from './short-lock.ts';

const STEP = 'comparing sequences';

/**
 * Compares what `setSequences` set with what the source has now. A sequence that the target lacks was named in its report.
 * @param source a session with a lock_timeout.
 * @param selection of the input.
 * @param relations the tables that it selects.
 * @param counted oids of the tables whose writers must have stopped: others may go on, and their sequences with them.
 * @returns `schema.name (sequence)` of those that differ, as the source names them.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function movedSequences(
  source: pg.Client,
  migration: Migration,
  selection: Selection,
  relations: readonly Relation[],
  counted: ReadonlySet<number>,
  { signal, beat }: Pick<Work, 'signal' | 'beat'>,
): Promise<string[]> {
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const progress = { step: STEP, done: 0 };
    const told = (done: number) => {
      signal.throwIfAborted();
      progress.done = done;
    };
    return await whileAllWatched(
      [
        { side: 'source', migration, purpose: 'cutover', client: source },
        { side: 'target', migration, purpose: 'cutover', client: target },
      ],
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
          told,
        );
        // Last: whatever moves after this is seen by no one.
        const ours = await withoutWaiting(source, () =>
          readStates(
            source,
            both.map(({ here }) => here),
            told,
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

/** Whether the sequence has to stand still by now: what uses it is counted, or nothing is known to use it. */
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
