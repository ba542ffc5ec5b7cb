/**
 * What an activity passes to a step of postgres/: a signal, a heartbeat, a log. And how its end is reported:
 *
 *   the signal is aborted because    early-ending step returned      any step threw
 *   the workflow cancelled it        its result (a checkpoint)       the signal's reason: cancelled
 *   the worker shuts down            see `Early`                     the signal's reason: retried at once elsewhere
 *   paused, reset, timed out, gone   the signal's reason is thrown   the signal's reason: Temporal knows what follows
 *
 * The reason is always thrown unchanged. An AbortError would count as a cancellation that was never requested, and the
 * attempt would dangle; an error of a connection that we closed ourselves would look like a failure.
 */
import { Context } from '@temporalio/activity';
import { GUARD_SIGNAL } from '../contract/guard.ts';
import type { Work } from '../contract/work.ts';
import type { Admission } from './admission.ts';
import { toApplicationFailure } from './failure.ts';

/** Steps that return before their work is done when they are stopped, and when that counts as a result. */
export type Early = 'on cancel' | 'on cancel and shutdown';

/** How often a short step sends a heartbeat: several fit into the heartbeat timeout of 10 s. */
const BEAT_EVERY_MS = 1_000;
/**
 * How long a short step may wait for its database. Then it sends no more heartbeats and is retried: endless heartbeats
 * would hide a server that hangs.
 */
const SHORT_STEP_MS = 120_000;

export interface Adapting<I = object> {
  /**
   * A few statements without progress in between: heartbeats by the clock, within bounds, so that a worker's death is
   * noticed as fast as everywhere else.
   */
  readonly short?: true | { readonly withinMs: number };
  /** Unset: when the step returns its work is done, whatever the signal says. */
  readonly early?: Early;
  /** What it occupies in its worker, per input; unset or null: nothing that others have to wait for. */
  readonly admit?: (context: Context, input: I, work: Work) => Promise<Admission> | null;
}

/** Turns a step into an activity: input object in, result out, errors as failures of the catalogue. */
export function activity<I, O>(
  name: string,
  step: (input: I, work: Work) => Promise<O>,
  { early, short, admit }: Adapting<I> = {},
): (input: I) => Promise<O> {
  return async (input) => {
    const context = Context.current();
    const { cancellationSignal: signal } = context;
    const work = workOf(context);
    const within = short === true ? SHORT_STEP_MS : short?.withinMs;
    const ticking = within === undefined ? undefined : beatByClock(work, name, within);
    let admission: Admission | undefined;
    try {
      admission = (await admit?.(context, input, work)) ?? undefined;
      // Connecting may take longer than the heartbeat timeout.
      work.beat({ step: name });
      const { place } = admission ?? {};
      const result = await step(input, place ? { ...work, place } : work);
      if (early && signal.aborted && !countsAsResult(context, early)) signal.throwIfAborted();
      return result;
    } catch (error) {
      signal.throwIfAborted();
      throw toApplicationFailure(error, name);
    } finally {
      clearInterval(ticking);
      admission?.leave(context.cancellationDetails?.cancelRequested === true);
    }
  };
}

function beatByClock(work: Work, step: string, withinMs: number): NodeJS.Timeout {
  const began = performance.now();
  return setInterval(() => {
    if (performance.now() - began < withinMs) work.beat({ step });
  }, BEAT_EVERY_MS);
}

function workOf(context: Context): Work {
  const runId = context.info.workflowExecution?.runId;
  return {
    signal: context.cancellationSignal,
    scheduledAt: context.info.currentAttemptScheduledTimestampMs,
    ...(runId === undefined ? {} : { run: runId }),
    beat: (details) => context.heartbeat(details),
    // To this run of the workflow: the next one of its id has steps of its own.
    tell: async (report) => {
      const { workflowId, runId } = context.info.workflowExecution ?? { workflowId: '' };
      await context.client.workflow.getHandle(workflowId, runId).signal(GUARD_SIGNAL, report);
    },
    log: {
      info: (message, fields) => void context.log.info(message, fields),
      warn: (message, fields) => void context.log.warn(message, fields),
    },
  };
}

function countsAsResult({ cancellationDetails }: Context, early: Early): boolean {
  if (cancellationDetails?.cancelRequested === true) return true;
  return early === 'on cancel and shutdown' && cancellationDetails?.workerShutdown === true;
}
