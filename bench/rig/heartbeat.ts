/** When the Temporal server received heartbeats of streams: this decides whether a worker counts as dead. */
import { optionalTsToMs } from '@temporalio/common/lib/time.js';
import { median } from '../report/result.ts';
import type { BenchMigration } from './migration.ts';

/** Heartbeats reach the server every 2 s: polled twice as often, none is missed. */
const LOOK_MS = 1_000;
const AT_ONCE = 10;

export interface Heartbeats {
  /** Between two beats of one attempt, or the last beat and now. Seconds. */
  readonly longest: number;
  readonly median: number;
}

/** Collects the gaps between heartbeats of the migrations' streams until the time is over or the signal is aborted. */
export async function heartbeats(
  migrations: readonly BenchMigration[],
  milliseconds: number,
  signal?: AbortSignal,
): Promise<Heartbeats> {
  const last = new Map<BenchMigration, number>();
  const gaps: number[] = [];
  const look = async (migration: BenchMigration): Promise<void> => {
    const { raw } = await migration.handle.describe();
    const stream = raw.pendingActivities?.find((one) => one.activityType?.name === 'streamChanges');
    const beat = optionalTsToMs(stream?.lastHeartbeatTime);
    const started = optionalTsToMs(stream?.lastStartedTime) ?? 0;
    // Another attempt, or none: its first heartbeat is not a gap.
    if (beat === undefined || beat < started) return void last.delete(migration);
    const before = last.get(migration);
    if (before !== undefined && before >= started && beat > before)
      gaps.push((beat - before) / 1000);
    last.set(migration, beat);
  };
  const until = performance.now() + milliseconds;
  do {
    const round = performance.now();
    for (let i = 0; i < migrations.length; i += AT_ONCE) {
      await Promise.all(migrations.slice(i, i + AT_ONCE).map(look));
    }
    const rest = LOOK_MS - (performance.now() - round);
    if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
  } while (performance.now() < until && signal?.aborted !== true);
  // A short run may not have had two heartbeats of any: then nothing was late.
  return gaps.length === 0
    ? { longest: 0, median: 0 }
    : { longest: Math.max(...gaps), median: median(gaps) };
}
