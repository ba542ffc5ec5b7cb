/**
 * Compares one run of pieces, on any worker: each piece is read under the anchor's snapshot of its side, and its mark and its sums
 * are one statement on the target. What an attempt that was killed has not marked is read again; what it marked is not.
 */
import { hostname } from 'node:os';
import type pg from 'pg';
import type { VerificationRun, VerificationRunReport } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectTarget } from '../session/open.ts';
import { holdAt } from '../snapshot/test-hold.ts';
import { requireMigration } from '../store/migration.ts';
import { readAnchor, type Verified } from '../store/verification.ts';
import { markPiece, readPieces, type PieceRow } from '../store/verification-piece.ts';
import { postponeTables, readVerifiedTables, skipTables } from '../store/verification-table.ts';
import { joinReaders, UNPACED } from './guarded-run.ts';
import { sumPiece, type PieceWork } from './piece-sums.ts';
import { openSides } from './sides.ts';
import { UnreadableTable } from './table-reading.ts';
import { beginUnderState } from './under-state.ts';
import { sliceMs } from './verification-hold.ts';

/** A run of pieces, as the plan lists them. */
export interface RunOfVerification extends Verified {
  readonly run: VerificationRun;
  /** Unset: 15. */
  readonly sliceMinutes?: number;
  /** Without limits and guard. */
  readonly unpaced?: true;
}

/**
 * Compares the unfinished pieces of a run. Idempotent. Returns early when the anchor is over: the next plan lists what is left.
 * @throws MigrationError `Unreachable`, `Contention`, `Denied`, `CheckpointMissing`; `signal.reason` when aborted.
 */
export async function comparePieces(
  { migration, verification, run, ...slice }: RunOfVerification,
  work: Work,
): Promise<VerificationRunReport> {
  try {
    await using target = await connectTarget(migration, 'verify', { signal: work.signal });
    await requireMigration(target, migration);
    await using sides = await openSides(migration, target, work.signal);
    const place = { migration, verification };
    const range = { first: run.firstPiece, last: run.lastPiece };
    const pieces = await readPieces(target, place, range);
    const holdMs = sliceMs(slice);
    const counters = { pieces: 0, rows: 0, bytes: 0 };
    const describe = () => ({ step: `comparing ${run.label}`, ...counters });
    await using throttled = slice.unpaced
      ? UNPACED
      : await joinReaders(migration, target, work, describe);
    const passed: PieceWork['passed'] = (bytes, rows) => {
      counters.rows += rows;
      counters.bytes += Math.round(bytes);
      return throttled.passed(bytes);
    };
    const { source, target: reader } = sides.readers;
    await whileWatched([source, reader], work, describe, async () => {
      for (const piece of pieces) {
        if (piece.done) continue;
        await throttled.ready();
        const done = await comparePiece(place, piece, target, { sides, work, passed, holdMs });
        if (done === 'over') return;
        if (done === 'marked') counters.pieces += 1;
      }
    });
    return { ...counters };
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: `comparing ${run.label}` }, 'Internal');
  }
}

/** `over`: the anchor is; `elsewhere`: another attempt has marked the piece, or another anchor has its tables. */
type Compared = 'marked' | 'elsewhere' | 'over';

/** A table that cannot be read is left out and named; the rest of its piece is read again. */
async function comparePiece(
  place: Verified,
  piece: PieceRow,
  target: pg.Client,
  how: PieceWork,
): Promise<Compared> {
  for (;;) {
    try {
      return await tryPiece(place, piece, target, how);
    } catch (error) {
      if (!(error instanceof UnreadableTable)) throw error;
      await how.sides.readers[piece.side].query(/* sql */ `rollback`);
      await skipTables(target, place, [error.comparison], error.reason);
    }
  }
}

async function tryPiece(
  place: Verified,
  piece: PieceRow,
  target: pg.Client,
  how: PieceWork,
): Promise<Compared> {
  const anchor = await readAnchor(target, place, piece.anchor);
  const reader = how.sides.readers[piece.side];
  if (anchor === null || !(await beginUnderState(reader, piece.side, anchor))) return 'over';
  const tables = await readVerifiedTables(target, place, piece.tables);
  const current = tables.filter(({ state, anchor: at }) => state === 'summing' && at === anchor.id);
  const ends = performance.now() + how.holdMs - anchor.ageMs;
  const summed = await sumPiece(piece, current, how, ends);
  await reader.query(/* sql */ `commit`);
  if (summed === null) return 'over';
  const { sums, unreadable } = summed;
  await holdAt('before-mark', target, () => {
    how.work.signal.throwIfAborted();
    how.work.beat({ step: 'held by a test' });
  });
  const worker = `${hostname()}:${process.pid}`;
  // Single statements: a worker that is frozen between them holds no lock that others would wait for.
  if (unreadable.length > 0) await postponeTables(target, place, anchor.id, unreadable);
  const marked = await markPiece(target, place, piece, { sums, worker });
  return marked ? 'marked' : 'elsewhere';
}
