/**
 * The two kills of the demo, each with its proof from the control schema. In the copy one of two workers dies, the one
 * that does not own the snapshot: its finished chunks stay finished, the unfinished ones are copied by others. (When
 * the snapshot owner dies, unfinished tables are copied under a new snapshot; that is tested, not shown.)
 */
import type { BackgroundProcess } from '../cluster/background.ts';
import { count } from '../../../workflows/wording.ts';
import type { LiveActivity, Sample } from '../../watch/sample.ts';
import { killHard } from './cast.ts';
import type { Workers } from './cast.ts';
import { killInStreamShown, provenByMarks, unchanged } from './evidence.ts';
import type { ChunkMark } from '../../../postgres/store/chunk-mark.ts';
import type { Evidence } from './evidence.ts';
import type { Follower } from './follow.ts';
import type { Proof } from './comparison.ts';

export interface Scene {
  readonly workflowId: string;
  readonly workers: Workers;
  readonly follower: Follower;
  readonly evidence: Evidence;
  readonly say: (line: string) => void;
}

/** Enough is done to be lost, and enough remains to continue with. */
const KILL_FROM = 0.2;
const COPY_SECONDS = 180;
const STREAM_SECONDS = 60;
/** Lets the stream work for a moment before the kill. */
const STREAM_TRANSACTIONS = 50;

export interface CopyKill {
  readonly victim: BackgroundProcess;
  readonly before: readonly ChunkMark[];
}

/** Kills a worker while some but not all chunks are done, and starts another. Undefined when the copy was too fast. */
export async function killInCopy(scene: Scene): Promise<CopyKill | undefined> {
  const { workers, follower, evidence, say } = scene;
  const found = await follower.until('the middle of the copy', COPY_SECONDS, async (sample) => {
    const chunks = await evidence.chunks();
    const done = chunks.filter(({ doneAt }) => doneAt !== null).length;
    if (chunks.length > 0 && done === chunks.length) return 'too late';
    if (isPast(sample, 'snapshot')) return 'too late';
    const victim = victimOfCopy(workers, sample);
    return victim && done >= Math.max(1, chunks.length * KILL_FROM) ? victim : undefined;
  });
  if (found === 'too late') return undefined;
  await killHard(found);
  const before = await evidence.chunks();
  const done = before.filter(({ doneAt }) => doneAt !== null).length;
  say(
    `>>> ${found.name} is killed in the copy (SIGKILL, process ${found.pid}): ${done} of ${before.length} chunks are done`,
  );
  const next = await follower.during(workers.start());
  say(`>>> ${next.name} (process ${next.pid}) started in its place`);
  return { victim: found, before };
}

/** After the copy: which marks from before the kill are unchanged. */
export async function provenInCopy({ evidence, say }: Scene, kill: CopyKill): Promise<Proof> {
  const after = await evidence.chunks();
  const done = kill.before.filter(({ doneAt }) => doneAt !== null);
  const kept = unchanged(done, after);
  say(
    `>>> all ${after.length} chunks are copied; of the ${done.length} from before the kill ${kept.length} were not repeated`,
  );
  return provenByMarks(kill.before, after);
}

/** Kills the worker that streams, starts another, and waits until the stream continues. */
export async function killInStream(scene: Scene): Promise<Proof> {
  const { workers, follower, evidence, say } = scene;
  const first = await follower.until('the stream', STREAM_SECONDS, () => evidence.stream());
  const victim = await follower.until('the stream to work', STREAM_SECONDS, async (sample) => {
    const now = await evidence.stream();
    const worked = (now?.transactions ?? 0) - first.transactions >= STREAM_TRANSACTIONS;
    // If killed before a heartbeat with numbers, the screen would show zeros below the line that counts what was applied.
    const shown = sample.activities.some(
      ({ type, heartbeat }) => type === 'streamChanges' && Number(heartbeat['transactions']) > 0,
    );
    return worked && shown ? workerOf(workers, sample, 'streamChanges') : undefined;
  });
  await killHard(victim);
  const before = await evidence.stream();
  say(
    `>>> ${victim.name} is killed while it streams (SIGKILL, process ${victim.pid}): ${count(before?.transactions ?? 0)} transactions are applied`,
  );
  const began = performance.now();
  const next = await follower.during(workers.start());
  say(`>>> ${next.name} (process ${next.pid}) started in its place`);
  const after = await follower.until('the stream to continue', STREAM_SECONDS, async () => {
    const now = await evidence.stream();
    // A commit of the dead worker may still arrive and count: only another epoch proves another attempt.
    const another = now !== undefined && now.epoch !== before?.epoch;
    return another && now.transactions > (before?.transactions ?? 0) ? now : undefined;
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  say(
    `>>> the stream goes on from there after ${seconds} s: ${count(after.transactions)} transactions`,
  );
  return before ? killInStreamShown(before, after) : 'refuted';
}

function victimOfCopy(workers: Workers, sample: Sample): BackgroundProcess | undefined {
  const owner = workerOf(workers, sample, 'holdSnapshot');
  if (!owner) return undefined;
  const copying = sample.activities.filter(({ type }) => type === 'copyChunks');
  return workers
    .alive()
    .find(
      (worker) => worker.pid !== owner.pid && copying.some((run) => runsOn(workers, run, worker)),
    );
}

function runsOn(workers: Workers, activity: LiveActivity, worker: BackgroundProcess): boolean {
  return workers.of(activity.worker)?.pid === worker.pid;
}

function workerOf(workers: Workers, sample: Sample, type: string): BackgroundProcess | undefined {
  return workers.of(sample.activities.find((activity) => activity.type === type)?.worker);
}

const LATER = { snapshot: ['indexes', 'stream', 'cutover', 'reverse', 'done'] };

function isPast({ progress }: Sample, phase: keyof typeof LATER): boolean {
  return progress !== undefined && LATER[phase].includes(progress.phase);
}
