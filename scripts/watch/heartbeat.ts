/** Parts of what activities and the workflow report, as the view reads them. Pure. */
import type { Phase } from '../../contract/progress.ts';

/** Phases after which no number changes. */
export const OVER: ReadonlySet<Phase> = new Set(['done', 'failed', 'aborted']);

/** A heartbeat may hold anything: another version of the worker may have sent it. */
export function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
