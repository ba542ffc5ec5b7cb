/**
 * Named places where a test lets the process die as it would by SIGKILL: no handler runs, nothing is flushed. Off unless
 * WALFERRY_FAILPOINT names one. They stand where a crash is hardest to meet by chance.
 */
export type FailPoint =
  'rows-sent' | 'before-target-commit' | 'commit-sent' | 'after-target-commit-before-confirm';

/** Dies here when the environment says so. */
export function failPoint(name: FailPoint): void {
  if (process.env['WALFERRY_FAILPOINT'] === name) process.kill(process.pid, 'SIGKILL');
}
