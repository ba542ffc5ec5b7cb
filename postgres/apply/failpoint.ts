/**
 * Named places where a test kills the process: no handler runs, nothing is flushed. Off unless WALFERRY_FAILPOINT names one. They
 * are where a crash is least likely to occur by chance. `NAME` dies as by SIGKILL, `NAME out-of-memory` by exhausting the heap, and
 * `NAME freeze` stops the process as by SIGSTOP: whoever continues it decides when it wakes up.
 */
export type FailPoint =
  | 'rows-sent'
  | 'before-target-commit'
  | 'commit-sent'
  | 'after-target-commit-before-confirm'
  /** The commit of an anchor's barrier, and the one that clears it. */
  | 'before-barrier-commit'
  | 'after-barrier-commit'
  | 'before-clearing-commit'
  | 'after-clearing-commit'
  /** A repair that has the control row locked, before its first write. */
  | 'repair-locked'
  | CutoverPoint;

/** Before and after each durable step of a cutover, in their order; those of the end are before the answer to the caller. */
export const CUTOVER_POINTS = [
  ...(['before-arm', 'after-arm', 'after-arm-mark'] as const),
  ...(['before-seal', 'after-seal', 'after-seal-mark'] as const),
  ...(['before-release', 'before-release-commit', 'after-release'] as const),
  ...(['before-undo', 'after-undo', 'after-open'] as const),
] as const;
export type CutoverPoint = (typeof CUTOVER_POINTS)[number];

/** Dies here if WALFERRY_FAILPOINT names this place. */
export function failPoint(name: FailPoint): void {
  const set = process.env['WALFERRY_FAILPOINT'];
  if (set === name) process.kill(process.pid, 'SIGKILL');
  if (set === `${name} freeze`) {
    // Once: it is continued to find out what it does then.
    delete process.env['WALFERRY_FAILPOINT'];
    process.kill(process.pid, 'SIGSTOP');
  }
  if (set === `${name} out-of-memory`) exhaustHeap();
}

/** What a proof does at these places instead, for one of several drivers in its own process: throws (a crash) or waits (a freeze). */
export type Meeting = (name: CutoverPoint) => Promise<void>;

/** {@link failPoint} of a step that may share its process with others. @param meet unset outside of proofs. */
export async function cutoverPoint(name: CutoverPoint, meet?: Meeting): Promise<void> {
  failPoint(name);
  await meet?.(name);
}

/** At its heap limit V8 aborts the process, without an exception to catch. */
function exhaustHeap(): never {
  for (const held: number[][] = []; ;) held.push(Array.from({ length: 100_000 }, Math.random));
}
