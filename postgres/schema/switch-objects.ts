/**
 * How a cutover switches objects on the target, and an undone cutover switches them back: item by item, each with its mark in
 * the same transaction, and no more per transaction than the server's lock table has room for. After an interruption, the step
 * continues with unmarked items.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { takeTurn } from '../store/turn.ts';
import { connectTarget } from '../session/open.ts';
import { failed } from '../session/ddl-failure.ts';
import { whileWatched } from '../session/liveness.ts';
import { hasStore } from '../store/upgrade.ts';
import { inTransaction } from '../connection/in-transaction.ts';

/** What it needs from the activity that runs it. */
export type Attempt = Partial<Pick<Work, 'signal' | 'scheduledAt' | 'beat'>>;

export interface ObjectSwitch {
  readonly target: pg.Client;
  /**
   * Runs `each` for all items, several per transaction. An attempt that was superseded commits none.
   * @param name of an item, for errors.
   * @param before called before each transaction with its items.
   */
  readonly all: <T>(
    items: readonly T[],
    name: (item: T) => string,
    each: (item: T) => Promise<void>,
    before?: (batch: readonly T[]) => Promise<void>,
  ) => Promise<void>;
}

/**
 * Readers release a table on the target within moments; if not, the operator should know. And if writers resumed during a long wait,
 * they would write to a source whose slot is about to be dropped.
 */
const LOCK_TIMEOUT_MS = 5_000;
const BEGIN = /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`;
/** Locks for one item: its table, and for a new constraint what its expression names. */
const LOCKS_EACH = 4;
const ITEMS_AT_ONCE = 500;

export interface Doing<T> {
  readonly done: 'enabled' | 'disabled';
  /** The result without a control schema. */
  readonly nothing: T;
  /**
   * What has to hold, checked in each transaction after its turn is taken: nothing that takes the epoch, as the release does, can
   * change it before the commit.
   */
  readonly require?: (target: pg.ClientBase) => Promise<void>;
}

/**
 * Opens the target, takes the turn and runs `work`. Returns `nothing` without a control schema: the migration has ended, or not begun.
 * @throws MigrationError `SchemaFailed` with the object, `Fenced`, `CheckpointMissing`; what was committed before stays.
 */
export async function switchObjects<T>(
  migration: Migration,
  { signal, scheduledAt, beat = () => undefined }: Attempt,
  { done, nothing, require = () => Promise.resolve() }: Doing<T>,
  work: (session: ObjectSwitch) => Promise<T>,
): Promise<T> {
  await using target = await connectTarget(migration, 'cutover', {
    unregistered: 'any more',
    ...(signal && { signal }),
  }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw failed(error, { what: 'the target could not be reached', code: 'Unreachable' });
  });
  const progress = { step: `triggers are being ${done}`, object: '', objects: 0 };
  try {
    if (!(await hasStore(target))) return nothing;
    const turn = await takeTurn(target, migration, scheduledAt);
    const size = await lockableObjects([target], LOCKS_EACH, ITEMS_AT_ONCE);
    const all: ObjectSwitch['all'] = async (items, name, each, before) => {
      for (let at = 0; at < items.length; at += size) {
        const batch = items.slice(at, at + size);
        await before?.(batch);
        const runBatch = async (): Promise<void> => {
          await turn.hold();
          await require(target);
          for (const item of batch) {
            signal?.throwIfAborted();
            progress.object = name(item);
            await each(item);
            progress.objects += 1;
          }
        };
        await inTransaction(target, runBatch, BEGIN);
      }
    };
    return await whileWatched(
      [target],
      { beat },
      () => ({ ...progress }),
      () => work({ target, all }),
    );
  } catch (error) {
    signal?.throwIfAborted();
    const at = progress.object === '' ? 'triggers' : progress.object;
    if (sqlstate(error) === SQLSTATE.lockNotAvailable) {
      // Not retried automatically: the cutover is undone instead of waiting while its writers are stopped.
      const seconds = LOCK_TIMEOUT_MS / 1000;
      throw new MigrationError(
        'SchemaFailed',
        `${at} could not be ${done}: another session on "${migration.target}" held the table locked for ${seconds} s`,
        { object: at },
      );
    }
    throw failed(error, { what: `${at} could not be ${done}`, code: 'SchemaFailed', object: at });
  }
}
