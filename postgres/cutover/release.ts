/**
 * The slot at the end of a cutover: dropped only by an attempt that has read it and found no change after the end mark. Earlier steps
 * may have waited for hours while writers resumed, and their writes would be lost with the slot.
 *
 * Check and drop cannot be atomic. If no transaction id was assigned since the check began, the window is one statement. On a server
 * with constant writes to other tables or databases it is the duration of the final check: usually less than a second, longer where
 * the slot's restart position lies behind a bulk load. Such a check is not repeated in the hope of a moment without writes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError, sided } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { literalSchemas } from '../catalog/selection.ts';
import { classify } from '../connection/failure.ts';
import { takeTurn, type Turn } from '../control/turn.ts';
import { connectSource, connectTarget } from '../identity/connect.ts';
import { endUsers } from '../slot/drop.ts';
import { enteringLocks, isEntered } from './entering.ts';
import { requireFinished, requireSwitched } from './finished.ts';
import { BEING_WRITTEN, lastLook } from './later-changes.ts';

/** Checks that require a server without any writes; after them, only writers of selected tables matter. */
const PATIENT_LOOKS = 4;
/** Looks altogether: whoever locks a selected table for writing at the end of each of so many is writing to it. */
const MOST_LOOKS = 10;
/** A look that takes longer decodes much WAL, as the next one would; writers wait meanwhile. */
const SLOW_LOOK_MS = 2_000;
/** Looks altogether once one was slow. A server that takes minutes for each is not looked at ten times. */
const MOST_SLOW_LOOKS = 2;
/** Between two of the impatient ones, so that a transaction that is rolled back has time to end. */
const PAUSE_MS = 200;
/** A commit of the note on the target that takes longer ages the look before it, on which the drop relies. */
const SLOW_NOTE_MS = 200;
const SHOWN_TABLES = 20;
/** An ended session of an earlier attempt is gone within milliseconds. */
const END_MS = 10_000;
const POLL_MS = 50;

/**
 * One statement: between its answer to "may it go" and the slot's end there is no round trip, and nothing that takes long. A slot that was
 * confirmed further than the look saw is streamed from again: the cutover was undone.
 */
const DROP = /* sql */ `
select pg_catalog.pg_drop_replication_slot(s.slot_name)::text as dropped
  from pg_catalog.pg_replication_slots s
 where s.slot_name = $2 and s.confirmed_flush_lsn = $4::pg_catalog.pg_lsn
   and ($3::text is null or pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text = $3)
   and not exists (${enteringLocks('$1', '$5')})
   and not exists (${BEING_WRITTEN})`;

/** What an attempt holds on the source while it lives, by which a later one finds its session. */
const PRESENCE = /* sql */ `
select pg_catalog.pg_advisory_lock_shared(pg_catalog.hashtextextended('walferry release ' || $1, 0))`;

const EARLIER = /* sql */ `
select theirs.pid, pg_catalog.pg_terminate_backend(theirs.pid)
  from pg_catalog.pg_locks mine
  join pg_catalog.pg_locks theirs using (locktype, database, classid, objid, objsubid)
 where mine.locktype = 'advisory' and mine.pid = pg_catalog.pg_backend_pid() and theirs.pid <> mine.pid`;

/**
 * Looks once more and drops the slot. Idempotent. One attempt at a time: a later one ends the sessions of those before it, so that one
 * that was frozen and wakes up after the cutover was undone drops nothing.
 * @param since the end mark.
 * @param scheduledAt of this attempt, see {@link takeTurn}.
 * @returns `absent` when there was none: an earlier attempt dropped it, and its answer was lost.
 * @throws MigrationError `StillWriting` naming the tables, with the slot left as it is; `TargetRewound`, `CheckpointMissing` when the
 *   target lacks what the cutover has done; `Fenced`; whatever keeps a look from passing (`StreamWarning`, `SourceRewound`, …);
 *   `SlotBusy`, `Denied`, `Unreachable`, `Contention`; `signal.reason` when aborted. Each with the side in its details: `source` only
 *   when the source itself failed or could not be connected to.
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
    // After the turn was taken: whoever had it before has its session on the source already, and that is found.
    await using source = await connectSource(migration, 'cleanup', { signal, target });
    await onSource(slot, endEarlier(source, migration.slot, signal));
    await requireSwitched({ source, target }, migration, input);
    const schemas = literalSchemas(input.tables);
    const note = (mark: Lsn | null) =>
      whileMine(target, turn, () => noteReleased(target, migration, mark), 'commit');
    let noted = false;
    let slow = false;
    const most = () => (slow ? MOST_SLOW_LOOKS : MOST_LOOKS);
    for (let looks = 1; looks <= most(); looks += 1) {
      // A stream that was overtaken may still hold it.
      await onSource(slot, endUsers(source, migration.slot));
      const confirmed = await onSource(slot, confirmedOf(source, migration.slot));
      if (confirmed === null) {
        if (await isReleased(target, migration, since)) return 'absent';
        throw unlooked(migration, since);
      }
      // Of an attempt that ended between its note and its drop.
      if (looks === 1) await note(null);
      const began = performance.now();
      const seen = await lastLook(migration, input, since, { signal, beat });
      slow ||= performance.now() - began > SLOW_LOOK_MS;
      if (seen.tables.length > 0) {
        await note(null);
        throw stillWriting(seen.tables, since);
      }
      const patient = looks <= PATIENT_LOOKS && !slow;
      if (patient && seen.next === null) continue;
      const next = patient || looks < MOST_SLOW_LOOKS ? seen.next : null;
      if (!noted) {
        // Before the drop, whose answer may be lost: without it no later attempt knows who dropped the slot.
        const asked = performance.now();
        await note(since);
        noted = true;
        if (performance.now() - asked > SLOW_NOTE_MS && looks < most()) continue;
      }
      const parameters = [seen.oids, migration.slot, next, confirmed, schemas];
      const drop = async (): Promise<boolean> => {
        // Where no one else has an id no one can bring a table.
        if (next === null && (seen.entering || (await isEntered(source, seen.oids, schemas)))) {
          return false;
        }
        return (await source.query(DROP, parameters)).rowCount === 1;
      };
      if (await whileMine(target, turn, () => onSource(slot, drop()))) return 'dropped';
      if (!patient) await sleep(PAUSE_MS, undefined, { signal });
    }
    await note(null);
    throw new MigrationError(
      'StillWriting',
      `transactions keep locking selected tables for writing, or are making or attaching tables that may be selected, after the end mark ${since}: stop the writers and end their transactions, then call cutover again`,
    );
  } catch (error) {
    signal.throwIfAborted();
    // The workflow ends the cutover only over a source that is gone, so an error of either database is not taken for one of it.
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

/** Runs it with the control row locked: whoever takes over in between has ended this session, or comes after it. */
async function whileMine<T>(
  target: pg.ClientBase,
  turn: Turn,
  work: () => Promise<T>,
  end: 'commit' | 'rollback' = 'rollback',
): Promise<T> {
  await target.query('begin');
  try {
    await turn.hold();
    const done = await work();
    if (end === 'commit') await target.query('commit');
    return done;
  } finally {
    // What was dropped is dropped, also when the target is gone by now.
    await target.query('rollback').catch(() => undefined);
  }
}

/** @param since the end mark behind which a look has passed; null: the slot is still there, and the next look counts. */
async function noteReleased(
  target: pg.ClientBase,
  { id }: Migration,
  since: Lsn | null,
): Promise<void> {
  await target.query(/* sql */ `update walferry.migration set released_lsn = $2 where id = $1`, [
    id,
    since,
  ]);
}

async function isReleased(target: pg.ClientBase, { id }: Migration, since: Lsn): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `select from walferry.migration where id = $1 and released_lsn = $2::pg_lsn`,
    [id, since],
  );
  return rowCount === 1;
}

/** Dropped by someone else, or not on a promoted standby: what was written after the end mark is known to no one. */
function unlooked({ slot, source, target }: Migration, since: Lsn): MigrationError {
  return new MigrationError(
    'SlotMissing',
    `slot "${slot}" is gone from "${source}", and not because this migration dropped it: "${target}" has everything committed before the end mark ${since}, but no one has looked whether tables changed after it. Stop the writers and compare the databases (npm run compare -- ${source} ${target}); if they are equal, abort: the target stays as it is`,
    { slot, lsn: since },
  );
}

/** Ends the sessions of earlier attempts, and waits until they are gone: a statement that one had sent may still run. */
async function endEarlier(source: pg.ClientBase, slot: string, signal: AbortSignal): Promise<void> {
  await source.query(PRESENCE, [slot]);
  const deadline = performance.now() + END_MS;
  for (;;) {
    const { rows } = await source.query<{ pid: number }>(EARLIER);
    if (rows.length === 0) return;
    if (performance.now() > deadline) {
      const pids = rows.map(({ pid }) => pid);
      throw new MigrationError(
        'SlotBusy',
        `an earlier attempt to drop slot "${slot}" still has its session on the source (pid ${pids.join(', ')}) after ${END_MS / 1000} s`,
        { slot, pids },
      );
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** The answer of a cutover that writers keep from completing. */
export function stillWriting(tables: readonly string[], since: Lsn): MigrationError {
  const more = tables.length > SHOWN_TABLES ? ` and ${tables.length - SHOWN_TABLES} more` : '';
  return new MigrationError(
    'StillWriting',
    `${tables.slice(0, SHOWN_TABLES).join(', ')}${more} changed after the end mark ${since}, or an open or prepared transaction is writing to it: stop the writers and end their transactions, then call cutover again`,
    { table: tables[0] ?? '' },
  );
}

/** @returns up to where the slot was confirmed; null when there is none. */
async function confirmedOf(source: pg.ClientBase, slot: string): Promise<string | null> {
  const { rows } = await source.query<{ confirmed: string }>(
    /* sql */ `
    select coalesce(confirmed_flush_lsn, '0/0')::text as confirmed
      from pg_catalog.pg_replication_slots where slot_name = $1`,
    [slot],
  );
  return rows[0]?.confirmed ?? null;
}
