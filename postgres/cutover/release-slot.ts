/**
 * Drops the slot at the end of a cutover, only in an attempt that has read it and found no change after the end mark. Earlier
 * steps may have waited for hours while writers resumed, and their writes would be lost with the slot.
 *
 * Check and drop cannot be atomic. If no transaction id was assigned since the check began, the window is one statement. On a
 * server with constant writes to other tables or databases it is the duration of the final check: usually less than a second,
 * longer where the slot's restart position lies behind a bulk load. Such a check is not repeated in the hope of a moment without
 * writes.
 */
import { listed } from '../../contract/listed.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError, sided } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { literalSchemas } from '../catalog/selection.ts';
import { endBackends } from '../connection/backends.ts';
import { classify } from '../connection/failure.ts';
import { takeTurn, type Turn } from '../store/turn.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { usersOf } from '../slot/drop-slot.ts';
import { enteringLocks, isEntered } from '../catalog/uncommitted-table.ts';
import { requireFinished, requireSwitched } from './kept-result.ts';
import { BEING_WRITTEN, finalCheck } from './later-changes.ts';
import { isReleased, recordReleased } from '../store/released.ts';
import { inTransaction, rolledBack } from '../connection/in-transaction.ts';

/** First checks, which require a server without any writes; after them, only writers of selected tables matter. */
const STRICT_CHECKS = 4;
/** Most checks: a table that is locked for writing at the end of every one counts as being written. */
const MOST_CHECKS = 10;
/** A check that takes longer decodes much WAL, as the next one would; writers wait for it. */
const SLOW_CHECK_MS = 2_000;
/** Most checks once one was slow: a check that takes minutes is not repeated ten times. */
const MOST_SLOW_CHECKS = 2;
/** Between later checks, so that a transaction that is being rolled back can end. */
const PAUSE_MS = 200;
/** If recording the check on the target takes longer, its result is too old for the drop, and the check is repeated. */
const SLOW_RECORD_MS = 200;
const SHOWN_TABLES = 20;

/**
 * One statement, so that there is no round trip and no long operation between the conditions and the drop. If the slot was
 * confirmed past the position that the check saw, the stream runs again: the cutover was undone.
 */
const DROP = /* sql */ `
select pg_catalog.pg_drop_replication_slot(s.slot_name)::text as dropped
  from pg_catalog.pg_replication_slots s
 where s.slot_name = $2 and s.confirmed_flush_lsn = $4::pg_catalog.pg_lsn
   and ($3::text is null or pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text = $3)
   and not exists (${enteringLocks('$1', '$5')})
   and not exists (${BEING_WRITTEN})`;

/**
 * Runs the final check and drops the slot. Idempotent. One attempt at a time: a later attempt terminates the sessions of earlier
 * ones, so that a frozen one that wakes up after the cutover was undone drops nothing.
 * @param since the end mark.
 * @param scheduledAt of this attempt, see {@link takeTurn}.
 * @returns `absent` if there was none: an earlier attempt dropped it and its answer was lost.
 * @throws MigrationError `StillWriting` naming the tables, without touching the slot; `TargetRewound`, `CheckpointMissing` when
 *   the target lacks results of the cutover; `Fenced`; errors of the check (`StreamWarning`, `SourceRewound`, …); `SlotBusy`,
 *   `Denied`, `Unreachable`, `Contention`; `signal.reason` when aborted. Each has the side in its details: `source` only when the
 *   source itself failed or could not be connected to.
 */
export async function releaseSlot(
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  signal: AbortSignal = new AbortController().signal,
  scheduledAt?: number,
  beat: Work['beat'] = () => undefined,
): Promise<'dropped' | 'absent'> {
  const { slot } = migration;
  try {
    await using target = await connectTarget(migration, 'cleanup', { signal });
    const turn = await takeTurn(target, migration, scheduledAt);
    await requireFinished(target, migration, input, since, { beat });
    // After taking the turn: a previous attempt that had it already has its session on the source, where it is found.
    await using source = await connectSource(migration, 'cleanup', { signal, target });
    await onSource(slot, source.takeOver({ code: 'SlotBusy' }));
    await requireSwitched({ source, target }, migration, input);
    const schemas = literalSchemas(input.tables);
    const record = (mark: Lsn | null) =>
      whileMine(target, turn, () => recordReleased(target, migration, mark), 'commit');
    let recorded = false;
    let slow = false;
    const most = () => (slow ? MOST_SLOW_CHECKS : MOST_CHECKS);
    for (let checks = 1; checks <= most(); checks += 1) {
      // A superseded stream may still use it.
      await onSource(slot, endBackends(source, usersOf(migration.slot)));
      const confirmed = await onSource(slot, confirmedOf(source, migration.slot));
      if (confirmed === null) {
        if (await isReleased(target, migration, since)) return 'absent';
        throw unchecked(migration, since);
      }
      // Clears the record of an attempt that ended between record and drop.
      if (checks === 1) await record(null);
      const began = performance.now();
      const seen = await finalCheck(migration, input, since, { signal, beat });
      slow ||= performance.now() - began > SLOW_CHECK_MS;
      if (seen.tables.length > 0) {
        await record(null);
        throw stillWriting(seen.tables, since);
      }
      const strict = checks <= STRICT_CHECKS && !slow;
      if (strict && seen.next === null) continue;
      const next = strict || checks < MOST_SLOW_CHECKS ? seen.next : null;
      if (!recorded) {
        // Before the drop, whose answer may be lost: otherwise a later attempt cannot tell who dropped the slot.
        const asked = performance.now();
        await record(since);
        recorded = true;
        if (performance.now() - asked > SLOW_RECORD_MS && checks < most()) continue;
      }
      const parameters = [seen.oids, migration.slot, next, confirmed, schemas];
      const drop = async (): Promise<boolean> => {
        // With a known next id no other transaction has one, so none can add a table.
        if (next === null && (seen.entering || (await isEntered(source, seen.oids, schemas)))) {
          return false;
        }
        return (await source.query(DROP, parameters)).rowCount === 1;
      };
      if (await whileMine(target, turn, () => onSource(slot, drop()))) return 'dropped';
      if (!strict) await sleep(PAUSE_MS, undefined, { signal });
    }
    await record(null);
    throw new MigrationError(
      'StillWriting',
      `transactions keep locking selected tables for writing, or create or attach tables that may be selected, after the end mark ${since}: stop the writers and end their transactions, then call cutover again`,
    );
  } catch (error) {
    signal.throwIfAborted();
    // The workflow completes the cutover without the source if that is gone, so an error of unclear origin must not count as the
    // source's.
    throw sided(classify(error, { step: `dropping slot "${slot}"` }, 'Internal'), 'unknown');
  }
}

async function onSource<T>(slot: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw sided(
      classify(error, { step: `dropping slot "${slot}"`, side: 'source' }, 'Internal'),
      'source',
    );
  }
}

/** Runs it with the control row locked: an attempt that takes over has terminated this session before, or waits for it. */
async function whileMine<T>(
  target: pg.ClientBase,
  turn: Turn,
  work: () => Promise<T>,
  end: 'commit' | 'rollback' = 'rollback',
): Promise<T> {
  const run = end === 'commit' ? inTransaction : rolledBack;
  return run(target, async () => {
    await turn.hold();
    return work();
  });
}

/** Dropped by another party, or missing on a promoted standby: what was written after the end mark is unknown. */
function unchecked({ slot, source, target }: Migration, since: Lsn): MigrationError {
  return new MigrationError(
    'SlotMissing',
    `slot "${slot}" is gone from "${source}", and not because this migration dropped it: "${target}" has everything committed before the end mark ${since}, but whether tables changed after it was not checked. Stop the writers and compare the databases (walferry compare ${source} ${target}); if they are equal, abort: the target stays as it is`,
    { slot, lsn: since },
  );
}

/** The failure of a cutover that writers prevent from completing. */
function stillWriting(tables: readonly string[], since: Lsn): MigrationError {
  return new MigrationError(
    'StillWriting',
    `${listed(tables, SHOWN_TABLES)} changed after the end mark ${since}, or an open or prepared transaction is writing to it: stop the writers and end their transactions, then call cutover again`,
    { table: tables[0] ?? '' },
  );
}

/** @returns the slot's confirmed position; null if there is no slot. */
async function confirmedOf(source: pg.ClientBase, slot: string): Promise<string | null> {
  const { rows } = await source.query<{ confirmed: string }>(
    /* sql */ `
    select coalesce(confirmed_flush_lsn, '0/0')::text as confirmed
      from pg_catalog.pg_replication_slots where slot_name = $1`,
    [slot],
  );
  return rows[0]?.confirmed ?? null;
}
