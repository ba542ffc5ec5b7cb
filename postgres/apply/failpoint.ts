/**
 * Named places where a test lets the process die: no handler runs, nothing is flushed. Off unless WALFERRY_FAILPOINT names one. They
 * stand where a crash is hardest to meet by chance. `NAME` dies as by SIGKILL, `NAME out-of-memory` by using up the heap.
 */
export type FailPoint =
  'rows-sent' | 'before-target-commit' | 'commit-sent' | 'after-target-commit-before-confirm';

/** Dies here when the environment says so. */
export function failPoint(name: FailPoint): void {
  const set = process.env['WALFERRY_FAILPOINT'];
  if (set === name) process.kill(process.pid, 'SIGKILL');
  if (set === `${name} out-of-memory`) useUp();
}

/** V8 aborts the process at its limit; it throws nothing that could be caught. */
function useUp(): never {
  for (const held: number[][] = []; ;) held.push(Array.from({ length: 100_000 }, Math.random));
}
