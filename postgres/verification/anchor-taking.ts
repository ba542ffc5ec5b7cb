/** The owner's part of taking an anchor; the stream's is stream/standing.ts. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { cut } from '../connection/connect.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import {
  askForAnchor,
  exportTarget,
  giveUp,
  lockAtBarrier,
  readAnswer,
  readHeld,
  readSettled,
  recordHeld,
  recordTaken,
  type Answer,
  type HeldAnchor,
  type Taken,
} from '../store/anchor-request.ts';
import { whyNotStanding } from './anchor-refusal.ts';

/** Longer than the stream itself takes before it gives up. */
const REACH_MS = 30_000;
const POLL_MS = 10;
/** As long as one poll of the stream would take: more often, the waiting owner would burden the target. */
const SLOW_POLL_MS = 50;

export interface TakingParts {
  readonly migration: Migration;
  readonly work: Work;
  /** Of the request. */
  readonly id: string;
  /** The owner's session, which the request names. */
  readonly target: Session;
  /** Locks the control row at the anchor; see `AnchorLimits`. */
  readonly locked?: pg.Client | undefined;
}

export interface TakenAnchor extends AsyncDisposable {
  readonly anchor: HeldAnchor;
  /** In their transactions; their end is the end of the anchor. */
  readonly sessions: readonly Session[];
}

/**
 * @param standMs how long to wait for the stream to stand.
 * @throws MigrationError `AnchorRefused`.
 */
export async function takeAnchor(parts: TakingParts, standMs: number): Promise<TakenAnchor> {
  const { migration, work, id, target } = parts;
  const { signal } = work;
  if ((await readSettled(target, migration)) !== true)
    throw refused('not every table has caught up with the stream yet');
  await using source = await connectSource(migration, 'anchor', { target, signal });
  // A predecessor's snapshot would hold back vacuum until its host is noticed to be gone.
  await source.takeOver();
  const own: Session[] = [];
  try {
    const there = await connectTarget(migration, 'anchor', { signal });
    own.push(there);
    await there.join();
    await askForAnchor(target, migration, id);
    await untilStanding(parts, source, standMs);
    // Opened after the stream's last look at the source: whatever is applied is visible in every snapshot from now on.
    const here = await connectSource(migration, 'anchor', { target, signal });
    own.push(here);
    await here.join();
    const taken = await snapshotOf(here);
    if (!(await recordTaken(target, migration, id, taken))) throw await refusal(parts);
    await untilReached(parts);
    const name = await exportExact(there, parts);
    // Before the stream is let go: it passes the anchor as soon as that one is held.
    await lockAt(parts);
    if (!(await recordHeld(target, migration, id, name))) throw refused('another anchor is wanted');
    const anchor = await readHeld(target, migration);
    if (anchor?.id !== id) throw refused('another anchor is wanted');
    return { anchor, sessions: [here, there], [Symbol.asyncDispose]: () => end(own) };
  } catch (error) {
    await end(own);
    throw error;
  }
}

/** Ending a session ends its snapshot, whatever state the connection is in. */
function end(sessions: readonly Session[]): Promise<void> {
  for (const session of sessions) cut(session);
  return Promise.resolve();
}

/** Waits until the stream stands. @throws MigrationError `AnchorRefused` saying why it does not. */
async function untilStanding(
  { migration, work, id, target }: TakingParts,
  source: pg.ClientBase,
  standMs: number,
): Promise<void> {
  const deadline = performance.now() + standMs;
  for (;;) {
    const answer = await readAnswer(target, migration, id);
    if (answer === null) throw refused('another anchor is wanted');
    if (answer.state === 'standing') return;
    if (answer.reason !== null) throw refused(answer.reason);
    if (performance.now() > deadline) {
      const why = await whyNotStanding(source, answer.streaming);
      // It may stand at the last moment.
      if (await giveUp(target, migration, id, ['wanted'], why)) throw refused(why);
      continue;
    }
    work.beat({ step: 'waiting for the stream to stand' });
    await sleep(SLOW_POLL_MS, undefined, { signal: work.signal });
  }
}

/** Waits until the target shows what the snapshot shows. */
async function untilReached(parts: TakingParts): Promise<void> {
  const { migration, work, id, target } = parts;
  const deadline = performance.now() + REACH_MS;
  for (;;) {
    const answer = await readAnswer(target, migration, id);
    if (answer?.state === 'reached') return;
    if (!mayReach(answer) || performance.now() > deadline) throw await refusal(parts);
    await sleep(POLL_MS, undefined, { signal: work.signal });
  }
}

/** Whether the attempt that stood still does: another one starts at its position, and knows nothing of the snapshot. */
function mayReach(answer: Answer | null): boolean {
  return answer?.state === 'taken' && answer.stands;
}

async function refusal({ migration, id, target }: TakingParts): Promise<MigrationError> {
  const answer = await readAnswer(target, migration, id);
  return refused(answer?.reason ?? 'the stream ended while it stood');
}

/** The first query of its transaction, so that every transaction that the snapshot shows has its commit record before the LSN. */
async function snapshotOf(source: pg.ClientBase): Promise<Taken> {
  await source.query(/* sql */ `begin isolation level repeatable read read only`);
  const { rows } = await source.query<{ name: string; visible: string; lsn: string }>(/* sql */ `
    select pg_catalog.pg_current_snapshot()::text as visible, pg_catalog.pg_export_snapshot() as name,
           pg_catalog.pg_current_wal_insert_lsn()::text as lsn`);
  const [row] = rows;
  if (!row) throw new MigrationError('Internal', 'the source returned no snapshot');
  return { ...row, lsn: parseLsn(row.lsn) };
}

/** @returns the name of the target's snapshot. */
async function exportExact(target: pg.ClientBase, { migration, id }: TakingParts): Promise<string> {
  await target.query(/* sql */ `begin isolation level repeatable read read only`);
  const found = await exportTarget(target, migration, id);
  if (found?.exact !== true) throw refused('the stream went on before the target was read');
  if (!found.consistent) throw refused('a table needs a resync');
  return found.name;
}

async function lockAt({ migration, id, locked }: TakingParts): Promise<void> {
  if (!locked) return;
  await locked.query(/* sql */ `begin`);
  if (await lockAtBarrier(locked, migration, id)) return;
  await locked.query(/* sql */ `rollback`);
  throw refused('the stream went on before its control row was locked');
}

function refused(why: string): MigrationError {
  return new MigrationError('AnchorRefused', `the stream cannot stand at an anchor: ${why}`);
}
