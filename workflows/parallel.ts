/**
 * Jobs in parallel streams. How many streams comes from a plan, a recorded result, so that a replay does the same, and from the
 * limits, whose changes take effect at once. A surplus stream finishes its job, which the activity itself holds back.
 */
import type { Execution } from './execution.ts';
import { raise } from './failure.ts';

/**
 * Runs the jobs in their order, each once.
 * @param most how many may run now; 0: no further one begins.
 * @param work handles the failures of its job; what it throws ends everything when the jobs at work have ended.
 */
export async function inParallel<T>(
  run: Execution,
  jobs: readonly T[],
  most: () => number,
  work: (job: T) => Promise<void>,
): Promise<void> {
  const queue = [...jobs];
  const atWork = new Set<Promise<void>>();
  let raised: { readonly error: unknown } | undefined;
  for (;;) {
    while (!raised && atWork.size < most()) {
      const next = queue.shift();
      if (next === undefined) break;
      const ended: Promise<void> = work(next)
        .catch((error: unknown) => {
          raised ??= { error };
        })
        .finally(() => atWork.delete(ended));
      atWork.add(ended);
    }
    if (atWork.size === 0) break;
    await Promise.race([...atWork, run.limitsChanged.promise]);
  }
  if (raised) raise(raised.error);
}

/** Never more than the lock tables of the servers have room for. */
export function streamsOf(
  { limits }: Execution,
  { parallelism, most = parallelism }: { readonly parallelism: number; readonly most?: number },
): number {
  if (limits.copyStreams === 0) return parallelism;
  return Math.min(limits.copyStreams, Math.max(parallelism, most));
}
