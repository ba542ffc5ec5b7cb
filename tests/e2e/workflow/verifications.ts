/** The verifications of a simulated migration: anchors, what was compared under them, and what differs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MigrationError } from '../../../contract/failure.ts';
import type { Lsn } from '../../../contract/lsn.ts';
import type {
  AnchorHoldReport,
  RepairReport,
  VerificationPlan,
  VerificationReport,
  VerificationRun,
  VerificationRunReport,
} from '../../../contract/verification.ts';
import type { Work } from '../../../contract/work.ts';

const TICK_MS = 10;
/** The stream is between two leases for moments; longer, and it has stopped. */
const STREAM_WITHIN_MS = 1_000;

export class Verifications {
  piecesTotal = 4;
  piecesPerRun = 2;
  parallelism = 2;
  /** How many pieces a slice has time for; unset: all. */
  piecesPerSlice: number | undefined;
  /** What a comparison finds. */
  differing: { table: string; keys: number; more: boolean }[] = [];
  /** A repair that changes nothing, like one of rows that something else writes again. */
  repairsNothing = false;
  notCompared: string[] = [];
  /** Ids, in the order in which their reports were made. */
  readonly reported: string[] = [];
  /** The verifications whose rows were repaired. */
  readonly repaired: string[] = [];
  /** Verification and piece → how often it was compared. */
  readonly comparisons = new Map<string, number>();
  /** Anchors that live now, and the most at the same time: two would be two verifications. */
  anchors = 0;
  mostAnchors = 0;
  anchorsTaken = 0;
  #live: number | undefined;
  /** Pieces compared under the live anchor. */
  #compared = 0;
  #over: number | undefined;
  readonly #streams: () => boolean;

  /** @param streams whether the stream runs, which is what stands at an anchor. */
  constructor(streams: () => boolean) {
    this.#streams = streams;
  }

  async hold(_id: string, work: Work): Promise<AnchorHoldReport> {
    for (let waited = 0; !this.#streams(); waited += TICK_MS) {
      if (waited > STREAM_WITHIN_MS) throw new MigrationError('Contention', 'no stream runs');
      await tick(work);
    }
    const mine = ++this.anchorsTaken;
    this.anchors += 1;
    this.mostAnchors = Math.max(this.mostAnchors, this.anchors);
    this.#live = mine;
    this.#compared = 0;
    const isOver = (): boolean => this.#compared >= (this.piecesPerSlice ?? Infinity);
    try {
      while (!work.signal.aborted && !isOver()) {
        if (this.#over === mine) return { nothingLeft: true };
        await sleep(TICK_MS);
        work.beat({ anchor: mine });
      }
      return { nothingLeft: false };
    } finally {
      this.anchors -= 1;
      if (this.#live === mine) this.#live = undefined;
    }
  }

  async plan(id: string, work: Work): Promise<VerificationPlan> {
    const left = this.#pieces().filter((piece) => !this.#has(id, piece));
    while (this.#live === undefined) await tick(work);
    if (left.length === 0) this.#over = this.#live;
    const runs: VerificationRun[] = [];
    for (let i = 0; i < left.length; i += this.piecesPerRun) {
      const some = left.slice(i, i + this.piecesPerRun);
      const firstPiece = some[0] ?? 0;
      const lastPiece = some.at(-1) ?? firstPiece;
      const name = `${firstPiece}-${lastPiece}`;
      runs.push({ id: `verify-${name}`, label: `public.orders ${name}`, firstPiece, lastPiece });
    }
    const done = this.piecesTotal - left.length;
    return {
      ...{ runs, parallelism: this.parallelism, tables: 2, tablesDone: left.length === 0 ? 2 : 0 },
      ...{ pieces: this.piecesTotal, done },
    };
  }

  /** Returns early when its anchor is over, like the real one. */
  async compare(id: string, run: VerificationRun, work: Work): Promise<VerificationRunReport> {
    const anchor = this.#live;
    let pieces = 0;
    for (let piece = run.firstPiece; piece <= run.lastPiece; piece++) {
      if (this.#has(id, piece)) continue;
      await tick(work);
      if (anchor === undefined || this.#live !== anchor) break;
      const key = keyOf(id, piece);
      this.#compared += 1;
      this.comparisons.set(key, (this.comparisons.get(key) ?? 0) + 1);
      pieces += 1;
    }
    return { pieces, rows: pieces * 200, bytes: pieces * 16_384 };
  }

  /** Also called, after a repair, for a verification that has its report. */
  conclude(id: string, lsn: Lsn): VerificationReport {
    if (!this.reported.includes(id)) this.reported.push(id);
    const { differing, notCompared } = this;
    const result =
      differing.length > 0 ? 'different' : notCompared.length > 0 ? 'incomplete' : 'equal';
    return {
      ...{ id, startedAt: '2026-11-27T10:00:00.000Z', endedAt: '2026-11-27T10:00:42.000Z' },
      ...{ seconds: 42, result, tables: 2, rows: 600, bytes: 65_536, anchors: 1, lsn },
      ...{ differing, notCompared },
    };
  }

  repair(id: string): RepairReport {
    this.repaired.push(id);
    const rows = this.differing.reduce((sum, { keys }) => sum + keys, 0);
    const tables = this.differing.length;
    if (!this.repairsNothing) this.differing = [];
    return { rows, tables };
  }

  #pieces(): number[] {
    return Array.from({ length: this.piecesTotal }, (_, piece) => piece);
  }

  #has(id: string, piece: number): boolean {
    return this.comparisons.has(keyOf(id, piece));
  }
}

const keyOf = (id: string, piece: number): string => `${id}:${piece}`;

async function tick(work: Work): Promise<void> {
  await sleep(TICK_MS);
  work.signal.throwIfAborted();
  work.beat({ simulated: true });
}
