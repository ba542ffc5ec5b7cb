/**
 * Plans what is left to compare under the live anchor. Tables that an earlier anchor did not finish begin again from their start:
 * a table is compared at one state. If nothing is left, the plan has no runs, with or without a live anchor.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { VerificationPlan } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { lockCapacity, within } from '../catalog/capacity.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectTarget } from '../session/open.ts';
import { groupRuns } from '../snapshot/chunking.ts';
import { requireMigration } from '../store/migration.ts';
import {
  beginVerification,
  lockVerification,
  recordAnchor,
  type Verified,
} from '../store/verification.ts';
import { countPieces, insertPieces, readPendingPieces } from '../store/verification-piece.ts';
import {
  readVerifiedTables,
  restartTables,
  settleTables,
  skipTables,
  type VerifiedTable,
} from '../store/verification-table.ts';
import type { HeldState, StateSource } from './held-state.ts';
import { cutPieces, TABLES_PER_PIECE } from './piece-cut.ts';
import { readComparisons, type FoundTable } from './read-sides.ts';
import { openSides } from './sides.ts';
import { beginUnderState, recordedState } from './under-state.ts';

const MEBIBYTE = 1024 * 1024;
const POLL_MS = 100;
const BEAT_EVERY_MS = 1_000;
/** A table that is rewritten or locked all the time, or does not fit into a slice, must not keep a verification from ending. */
const MOST_ATTEMPTS = 5;

export interface PlannedStep extends Verified {
  readonly input: MigrationInput;
}

/**
 * @param states where the live anchor is found.
 * @throws MigrationError `CheckpointMissing`, `Unreachable`, `Contention`; `signal.reason` when aborted.
 */
export async function planVerification(
  step: PlannedStep,
  work: Work,
  states: StateSource,
): Promise<VerificationPlan> {
  const { migration } = step;
  try {
    await using target = await connectTarget(migration, 'verify', { signal: work.signal });
    // An earlier attempt's worker may be frozen with the verification's row locked.
    await target.takeOver();
    await requireMigration(target, migration);
    await beginVerification(target, step);
    for (;;) {
      await settleTables(target, step);
      await giveUp(target, step);
      const known = await readVerifiedTables(target, step);
      if (known.length > 0 && known.every(isSettled)) return await planOf(target, step, null);
      const state = await waitForState(target, step, known, work, states);
      if (!(await planAt(target, step, state, work, states))) continue;
      const plan = await planOf(target, step, state);
      // Without runs the last pieces were finished meanwhile, or what is left needs another anchor.
      if (plan.runs.length > 0 || plan.tablesDone === plan.tables) return plan;
    }
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: 'planning the verification' }, 'Internal');
  }
}

function isSettled({ state }: VerifiedTable): boolean {
  return state !== 'pending' && state !== 'summing';
}

async function giveUp(target: pg.ClientBase, step: PlannedStep): Promise<void> {
  const tables = await readVerifiedTables(target, step);
  const left = tables.filter((one) => one.state === 'pending' && one.attempts >= MOST_ATTEMPTS);
  if (left.length === 0) return;
  const reason = `was not finished at any of ${MOST_ATTEMPTS} anchors: it is rewritten or locked while it is read, or too large for one slice`;
  await skipTables(
    target,
    step,
    left.map(({ id }) => id),
    reason,
  );
}

/** A state at which something can still be compared: not one after which all tables that are left were rewritten. */
async function waitForState(
  target: pg.ClientBase,
  { migration }: Verified,
  known: readonly VerifiedTable[],
  work: Work,
  states: StateSource,
): Promise<HeldState> {
  const left = known.filter((one) => !isSettled(one));
  const useful = ({ id }: HeldState) =>
    known.length === 0 || left.some((one) => one.state === 'summing' || one.anchor !== id);
  const began = performance.now();
  let beaten = began;
  for (;;) {
    work.signal.throwIfAborted();
    const state = await states.live(target, migration);
    if (state !== null && useful(state)) return state;
    if (performance.now() - beaten > BEAT_EVERY_MS) {
      beaten = performance.now();
      work.beat({ step: 'waiting for an anchor', seconds: Math.round((beaten - began) / 1000) });
    }
    await sleep(POLL_MS, undefined, { signal: work.signal }).catch(() => undefined);
  }
}

/** @returns false if the anchor ended meanwhile. */
async function planAt(
  target: pg.ClientBase,
  step: PlannedStep,
  state: HeldState,
  work: Work,
  states: StateSource,
): Promise<boolean> {
  const { migration, input } = step;
  await using sides = await openSides(migration, target, work.signal);
  const { readers } = sides;
  const anchor = await recordedState(readers, state);
  if (anchor === null) return false;
  if (!(await beginUnderState(readers.source, 'source', anchor))) return false;
  if (!(await beginUnderState(readers.target, 'target', anchor))) return false;
  const tablesPerPiece = await pieceSize(step, [readers.source, readers.target]);
  const found = await whileWatched(
    [readers.source, readers.target],
    work,
    () => ({ step: 'reading the tables to compare' }),
    () => readComparisons(migration, input, readers),
  );
  await readers.source.query(/* sql */ `commit`);
  await readers.target.query(/* sql */ `commit`);
  return await inTransaction(target, async () => {
    // One plan at a time, and none of an anchor that is over: a frozen attempt that wakes up would begin its tables again.
    await lockVerification(target, step);
    if ((await states.live(target, migration))?.id !== state.id) return false;
    await recordAnchor(target, step, anchor);
    await settleTables(target, step);
    const known = await readVerifiedTables(target, step);
    await restart(target, step, state, known, found, tablesPerPiece);
    return true;
  });
}

/** Locks per table that is read: the table, its TOAST table, indexes that the planner opens. */
const LOCKS_PER_TABLE = 4;

/** Each run holds the locks of one piece; the smaller of the two lock tables counts. */
async function pieceSize({ input }: PlannedStep, sides: readonly pg.ClientBase[]): Promise<number> {
  const sizes = [];
  for (const side of sides) sizes.push(await lockCapacity(side));
  return within(Math.min(...sizes), input.copy.parallelism * LOCKS_PER_TABLE, TABLES_PER_PIECE);
}

async function restart(
  target: pg.ClientBase,
  step: PlannedStep,
  { id: anchor }: HeldState,
  known: readonly VerifiedTable[],
  found: readonly FoundTable[],
  tablesPerPiece: number,
): Promise<void> {
  const byName = new Map(known.map((one) => [keyOfName(one), one]));
  let last = known.reduce((most, { id }) => Math.max(most, id), 0);
  const begun = found.flatMap((table) => {
    const before = byName.get(keyOfName(table));
    if (before && (isSettled(before) || before.anchor === anchor)) return [];
    return [{ ...table, id: before?.id ?? (last += 1) }];
  });
  const here = new Set(found.map(keyOfName));
  const gone = known.filter((one) => !isSettled(one) && !here.has(keyOfName(one)));
  await skipTables(
    target,
    step,
    gone.map(({ id }) => id),
    'is not selected any more',
  );
  const cut = cutPieces(
    begun.filter(({ reason }) => reason === null),
    step.input.copy.chunkMegabytes * MEBIBYTE,
    tablesPerPiece,
  );
  const pieces = new Map<number, number>();
  for (const piece of cut) {
    for (const id of piece.tables) pieces.set(id, (pieces.get(id) ?? 0) + 1);
  }
  await restartTables(
    target,
    step,
    anchor,
    begun.map((table) => ({
      ...table,
      pieces: pieces.get(table.id) ?? 0,
      bytes: table.parts.source.reduce((sum, { bytes }) => sum + bytes, 0),
    })),
  );
  await insertPieces(target, step, anchor, cut);
}

async function planOf(
  target: pg.ClientBase,
  step: PlannedStep,
  state: HeldState | null,
): Promise<VerificationPlan> {
  const tables = await readVerifiedTables(target, step);
  const names = new Map(tables.map((one) => [one.id, nameOf(one)]));
  const { parallelism } = step.input.copy;
  const pending = state === null ? [] : await readPendingPieces(target, step, state.id);
  const runs = groupRuns(
    pending.filter(({ relations }) => relations.length > 0),
    {
      prefix: state === null ? 'v' : `v${state.id}`,
      parallelism,
      nameOf: (id) => names.get(id) ?? 'a table',
    },
  );
  return {
    runs: runs.map(({ firstChunk: firstPiece, lastChunk: lastPiece, ...run }) => ({
      ...{ ...run, firstPiece, lastPiece },
    })),
    parallelism,
    tables: tables.length,
    tablesDone: tables.filter(isSettled).length,
    ...(await countPieces(target, step)),
  };
}
