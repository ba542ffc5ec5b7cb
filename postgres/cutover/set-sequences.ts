/**
 * Sets sequences. They are not in the stream: after the writers have stopped, their state is read on the source and set on the
 * target. Values stay text; `is_called` is set, too, so that the next value is the same on both sides.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { flushSeen } from '../replication/flushed-mark.ts';
import type { Sequence } from './sequence.ts';
import { readStates, readWanted, SEQUENCES_AT_ONCE, type State } from './sequence-state.ts';
import { openSource } from './open-source.ts';
import { takeTurn } from '../store/turn.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { whileWatched } from '../session/liveness.ts';

export interface SequenceReport {
  /** Sequences that were set. */
  readonly sequences: number;
  /** Sequences of the source that the target lacks, as `schema.name`; bounded. */
  readonly missing: readonly string[];
  /** How many more are missing; unset for none. */
  readonly unnamed?: number;
}

/** Names are stored in the workflow's history. */
const MOST_MISSING = 50;

/** Sets the source's values, by the target's sequence names. */
const SET = /* sql */ `
select pg_catalog.setval(w.sql::regclass, w.value::bigint, w.called)
  from jsonb_to_recordset($1::jsonb) as w(sql text, value text, called boolean)`;

/**
 * Sets every sequence of the migration on the target. Idempotent.
 * @throws MigrationError `SchemaFailed` naming a sequence whose value does not fit the target's.
 */
export async function setSequences(
  migration: Migration,
  input: MigrationInput,
  {
    signal,
    scheduledAt,
    beat = () => undefined,
  }: Partial<Pick<Work, 'signal' | 'scheduledAt' | 'beat'>> = {},
): Promise<SequenceReport> {
  try {
    await using source = await openSource(migration, { ...(signal && { signal }) });
    await using target = await connectTarget(migration, 'cutover', { ...(signal && { signal }) });
    // Without the turn a frozen attempt that wakes up when the application already uses these sequences would set them back.
    const turn = await takeTurn(target, migration, scheduledAt);
    const progress = { step: 'reading sequences', done: 0, total: 0 };
    return await whileWatched(
      [source, target],
      { beat },
      () => ({ ...progress }),
      async () => {
        const { settings, report } = await readSettings(
          { source, target },
          migration,
          input,
          (done) => (progress.done = done),
        );
        Object.assign(progress, { step: 'setting sequences', done: 0, total: settings.length });
        const size = await lockableObjects([target], 1, SEQUENCES_AT_ONCE);
        // Batches are independent: setting a sequence to the source's value can be repeated.
        for (let at = 0; at < settings.length; at += size) {
          await inTransaction(target, async () => {
            await turn.hold();
            await setStates(target, settings.slice(at, at + size));
          });
          progress.done = at + size;
        }
        return report;
      },
    );
  } catch (error) {
    throw classify(error, { step: 'setting sequences' }, 'SchemaFailed');
  }
}

export interface Setting extends State {
  /** The target's. */
  readonly to: Sequence;
}

export interface Settings {
  readonly settings: readonly Setting[];
  readonly report: SequenceReport;
}

/**
 * What the target's sequences are to be set to: the source's values as of now, flushed there.
 * @param progress called with the number of sequences read so far.
 */
export async function readSettings(
  { source, target }: { readonly source: Session; readonly target: Session },
  migration: Migration,
  input: MigrationInput,
  progress: (done: number) => void = () => undefined,
): Promise<Settings> {
  const relations = await readRelations(source, input.tables, 'estimated');
  const sides = { source, target };
  const { sequences, pairs } = await readWanted(sides, migration, input.tables, relations);
  const states = await readStates(source, sequences, progress);
  // A setval to a lower value that the source loses in a crash would make the target return numbers that rows already have.
  await flushSeen(source, migration);
  const settings = [...states].flatMap(([sequence, state]) => {
    const to = pairs.get(sequence);
    return to === undefined ? [] : [{ ...state, to }];
  });
  const missing = sequences.filter((sequence) => !pairs.has(sequence)).map(nameOf);
  const unnamed = missing.length - MOST_MISSING;
  const report = {
    sequences: settings.length,
    missing: missing.slice(0, MOST_MISSING),
    ...(unnamed > 0 ? { unnamed } : {}),
  };
  return { settings, report };
}

/** Sets the target's sequences in the caller's transaction, which does not take them back when it is rolled back. */
export async function setStates(
  target: pg.ClientBase,
  settings: readonly Setting[],
): Promise<void> {
  const set = (some: readonly Setting[]) =>
    target.query(SET, [
      JSON.stringify(some.map(({ to, value, called }) => ({ sql: to.sql, value, called }))),
    ]);
  await target.query(/* sql */ `savepoint sequences`);
  try {
    await set(settings);
  } catch (error) {
    if (sqlstate(error) !== OUT_OF_RANGE) throw error;
    await target.query(/* sql */ `rollback to savepoint sequences`);
    // One sequence fails the whole statement: find out which.
    for (const one of settings) {
      await set([one]).catch((failure: unknown) => {
        if (sqlstate(failure) !== OUT_OF_RANGE) throw failure;
        const name = `${one.to.schema}.${one.to.name}`;
        throw new MigrationError(
          'SchemaFailed',
          `the value of sequence ${name} does not fit the target's sequence (SQLSTATE ${OUT_OF_RANGE})`,
          { object: name, sqlstate: OUT_OF_RANGE },
        );
      });
    }
    throw error;
  }
}

const OUT_OF_RANGE = '22003';
