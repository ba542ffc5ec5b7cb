/**
 * Named places where a test kills the process: no handler runs, nothing is flushed. Off unless WALFERRY_FAILPOINT names one. They
 * are where a crash is least likely to occur by chance. `NAME` dies as by SIGKILL, `NAME out-of-memory` by exhausting the heap.
 */
export type FailPoint =
  | 'rows-sent'
  | 'commit-sent'
  | 'before-target-commit'
  | 'after-target-commit-before-confirm'
  /** The commit of an anchor's barrier, and the one that clears it. */
  | 'before-barrier-commit'
  | 'after-barrier-commit'
  | 'before-clearing-commit'
  | 'after-clearing-commit';

/** Dies here if WALFERRY_FAILPOINT names this place. */
export function failPoint(name: FailPoint): void {
  const set = process.env['WALFERRY_FAILPOINT'];
  if (set === name) process.kill(process.pid, 'SIGKILL');
  if (set === `${name} out-of-memory`) exhaustHeap();
}

/** At its heap limit V8 aborts the process, without an exception to catch. */
function exhaustHeap(): never {
  for (const held: number[][] = []; ;) held.push(Array.from({ length: 100_000 }, Math.random));
}
