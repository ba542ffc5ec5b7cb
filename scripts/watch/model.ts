/**
 * From samples to the view. Two sources are combined: the `progress` query, which knows what activities returned, and
 * the heartbeats of running activities, which are a second old but go backwards when an attempt is repeated. So no
 * displayed count of work ever falls within a phase. Pure: time comes with the samples.
 */
import type { ComparedDefinitions } from '../../contract/definition.ts';
import type { Readiness } from '../../contract/readiness.ts';
import { RateWindow } from './rate-window.ts';
import { isLsn, maxLsn } from '../../contract/lsn.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { IndexCounters, Phase, Progress } from '../../contract/progress.ts';
import { OVER, number, text } from './heartbeat.ts';
import { verificationLines } from '../../workflows/verification-text.ts';
import { moment } from '../../workflows/wording.ts';
import type { LiveActivity, RunStatus, Sample } from './sample.ts';
import { throttleOf, troublesOf } from './trouble.ts';

export interface CopyView {
  readonly rows: number;
  readonly bytes: number;
  readonly chunksDone: number;
  readonly chunksTotal: number;
  /** 0 to 1. */
  readonly fraction: number;
  readonly rowsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Seconds to the end of the copy; undefined while there is no rate. */
  readonly etaSeconds: number | undefined;
}

export interface StreamView {
  readonly transactions: number;
  readonly changes: number;
  readonly changesPerSecond: number;
  readonly lagBytes: number;
  readonly lagSeconds: number;
  /** The age of the numbers, in words, when no running attempt reports them; undefined: live. */
  readonly age: string | undefined;
}

export interface View {
  readonly status: RunStatus;
  readonly phase: Phase | undefined;
  readonly state: Progress['state'] | undefined;
  readonly source: string;
  readonly target: string;
  readonly confirmedLsn: string | undefined;
  readonly copy: CopyView | undefined;
  /** While it is being built; live where a heartbeat reports it. */
  readonly indexes: IndexCounters | undefined;
  readonly stream: StreamView | undefined;
  /** What an activity reports of itself in phases without numbers. */
  readonly step: string | undefined;
  readonly waiting: Progress['waiting'];
  readonly notes: readonly string[];
  /** Limits and the guard of the source: what slows the migration down; unset: nothing. */
  readonly throttle?: string;
  /** The verification that runs, and the newest result; unset: none. */
  readonly verification?: readonly string[];
  /** What differs beside rows; unset before the first comparison. */
  readonly definitions?: ComparedDefinitions;
  /** Whether a cutover could begin now; unset while that is no question. */
  readonly readiness?: Readiness;
  /** Activities that are retried, and whatever keeps the numbers old. */
  readonly troubles: readonly string[];
}

/** Heartbeats come every 2 s, and the server waits 10 s for one: numbers are old before it reports that the worker is gone. */
const BEATS_MISSING_MS = 5_000;

interface Point {
  readonly at: number;
  readonly rows: number;
  readonly bytes: number;
  readonly fraction: number;
  readonly transactions: number;
  readonly changes: number;
}

export class ProgressModel {
  #recent = new RateWindow<Point>();
  #pass: number | undefined;
  #best: Point = { at: 0, rows: 0, bytes: 0, fraction: 0, transactions: 0, changes: 0 };
  #confirmed: Lsn | undefined;
  /** When an attempt last reported the stream's numbers, ISO 8601. */
  #heardAt: string | undefined;
  /** Time of the sample that first showed that heartbeat. */
  #heardFrom = -Infinity;

  /** Takes the newest sample; samples come in the order of their time. */
  view(sample: Sample): View {
    const { progress, activities, status } = sample;
    const point = this.#point(sample);
    this.#recent.add(point);
    const streaming = activities.find(({ type }) => type === 'streamChanges');
    return {
      status,
      phase: progress?.phase,
      state: progress?.state,
      source: progress?.source ?? '',
      target: progress?.target ?? '',
      confirmedLsn: this.#confirm(streaming?.heartbeat['confirmedLsn'], progress?.confirmedLsn),
      copy: this.#copy(progress, point),
      indexes: indexesOf(progress, activities),
      stream: this.#stream(progress, streaming, point),
      step: progress?.cutover?.step ?? activities.map(stepOf).find((step) => step !== undefined),
      waiting: progress?.waiting ?? null,
      notes: progress?.notes ?? [],
      ...(progress?.phase === 'stream' && progress.readiness
        ? { readiness: progress.readiness }
        : {}),
      ...(progress?.definitions ? { definitions: progress.definitions } : {}),
      ...throttleOf(progress, activities),
      ...(progress?.verification ? { verification: verificationLines(progress.verification) } : {}),
      troubles: troublesOf(sample),
    };
  }

  #point({ at, progress, activities }: Sample): Point {
    const snapshot = progress?.snapshot;
    // The next pass copies unfinished tables from the start: only there the numbers may fall.
    if (snapshot && snapshot.pass !== this.#pass) {
      this.#pass = snapshot.pass;
      this.#best = { ...this.#best, rows: 0, bytes: 0, fraction: 0 };
      this.#recent = new RateWindow();
    }
    const copying = activities.filter(({ type }) => type === 'copyChunks');
    const live = (name: string) =>
      copying.reduce((sum, { heartbeat }) => sum + (number(heartbeat[name]) ?? 0), 0);
    const rows = (snapshot?.rows ?? 0) + live('rows');
    const bytes = (snapshot?.bytes ?? 0) + live('bytes');
    const streaming = activities.find(({ type }) => type === 'streamChanges')?.heartbeat;
    const changes = number(streaming?.['changes']) ?? progress?.stream?.changes ?? 0;
    const transactions = number(streaming?.['transactions']) ?? progress?.stream?.transactions ?? 0;
    this.#best = {
      at,
      rows: Math.max(this.#best.rows, rows),
      bytes: Math.max(this.#best.bytes, bytes),
      fraction: Math.max(this.#best.fraction, fractionOf(progress, rows)),
      transactions: Math.max(this.#best.transactions, transactions),
      changes: Math.max(this.#best.changes, changes),
    };
    return this.#best;
  }

  /** The newest position ever reported: between two attempts only the older checkpoint is known. */
  #confirm(...reported: unknown[]): Lsn | undefined {
    for (const lsn of reported) {
      if (isLsn(lsn)) {
        this.#confirmed = this.#confirmed === undefined ? lsn : maxLsn(this.#confirmed, lsn);
      }
    }
    return this.#confirmed;
  }

  #copy(progress: Progress | undefined, now: Point): CopyView | undefined {
    const snapshot = progress?.snapshot;
    if (!snapshot) return undefined;
    return {
      rows: now.rows,
      bytes: now.bytes,
      chunksDone: snapshot.chunksDone,
      chunksTotal: snapshot.chunksTotal,
      fraction: now.fraction,
      rowsPerSecond: this.#recent.rate(({ rows }) => rows),
      bytesPerSecond: this.#recent.rate(({ bytes }) => bytes),
      etaSeconds: this.#recent.eta(({ fraction }) => fraction),
    };
  }

  #stream(
    progress: Progress | undefined,
    activity: LiveActivity | undefined,
    now: Point,
  ): StreamView | undefined {
    const last = progress?.stream;
    const beat = activity?.heartbeat;
    const reports = number(beat?.['transactions']) !== undefined;
    if (reports && activity?.heardAt !== this.#heardAt) {
      this.#heardAt = activity?.heardAt;
      this.#heardFrom = now.at;
    }
    const fresh = reports && activity?.live === true && now.at - this.#heardFrom < BEATS_MISSING_MS;
    // Zeros from before the first transaction say nothing about what a dead attempt did since, nor about one that has
    // just started: after a kill they would appear for a stream that has been running for hours.
    const running = progress?.phase === 'stream' && progress.state === 'running';
    if (!fresh && now.transactions === 0 && (!last || running)) return undefined;
    return {
      transactions: now.transactions,
      changes: now.changes,
      changesPerSecond: Math.max(
        0,
        this.#recent.rate(({ changes }) => changes),
      ),
      lagBytes: number(beat?.['lagBytes']) ?? last?.lagBytes ?? 0,
      lagSeconds: number(beat?.['lagSeconds']) ?? last?.lagSeconds ?? 0,
      // An attempt that starts reports what the target holds, and no lag yet.
      age: fresh && number(beat?.['lagBytes']) !== undefined ? undefined : this.#age(progress, now),
    };
  }

  /** After a kill, between leases, while it is paused: old numbers must not look like a stream that is stuck. */
  #age(progress: Progress | undefined, now: Point): string | undefined {
    if (progress && OVER.has(progress.phase)) return undefined;
    const known = progress?.stream;
    // The newest source of what is shown: a checkpoint that came after the last heartbeat, or that heartbeat.
    const at = known && known.transactions >= now.transactions ? progress.asOf : this.#heardAt;
    return at === undefined ? 'no heartbeat yet' : `as of ${moment(at)}`;
  }
}

const BUILDING = new Set(['buildIndexes', 'analyzeTables', 'buildConstraints']);

/** What is built after the rows, while it is being built. A heartbeat counts what remained when its attempt began. */
function indexesOf(
  progress: Progress | undefined,
  activities: readonly LiveActivity[],
): IndexCounters | undefined {
  const counters = progress?.indexes;
  const building = activities.find(({ type }) => BUILDING.has(type));
  if (!counters || (progress.phase !== 'indexes' && !building)) return undefined;
  if (building?.type !== 'buildIndexes' || counters.indexesTotal === null) return counters;
  const [done, left] = [number(building.heartbeat['done']), number(building.heartbeat['total'])];
  if (done === undefined || left === undefined) return counters;
  return { ...counters, indexesBuilt: Math.max(0, counters.indexesTotal - left + done) };
}

/** Rows against the estimate where there is one, otherwise chunks; 1 only when every chunk is done. */
function fractionOf(progress: Progress | undefined, rows: number): number {
  const snapshot = progress?.snapshot;
  if (!snapshot || snapshot.chunksTotal === 0) return 0;
  if (snapshot.chunksDone >= snapshot.chunksTotal) return 1;
  const byChunks = snapshot.chunksDone / snapshot.chunksTotal;
  const byRows = snapshot.estimatedRows > 0 ? rows / snapshot.estimatedRows : byChunks;
  return Math.min(0.99, byRows);
}

/** The first heartbeat of an activity contains only its name, which says less than the phase does. */
function stepOf({ type, heartbeat }: LiveActivity): string | undefined {
  const step = text(heartbeat['step']);
  if (step === undefined || step === type) return undefined;
  const [done, total] = [number(heartbeat['done']), number(heartbeat['total'])];
  return done === undefined || total === undefined ? step : `${step} ${done} of ${total}`;
}
