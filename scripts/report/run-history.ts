/**
 * The history of one run as plain facts: which activities and updates there were, when, and how they ended. Payloads are
 * `unknown`, because any version of walferry may have written them; whoever needs one parses it.
 */
import type { WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';

export type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;
type HistoryEvent = NonNullable<History['events']>[number];
type ProtoFailure = NonNullable<
  NonNullable<HistoryEvent['activityTaskFailedEventAttributes']>['failure']
>;

/** Why an attempt or a run ended. */
export interface Failure {
  readonly message: string;
  /** A code of the catalogue, or a name of Temporal's; '' without one. */
  readonly type: string;
  /** Its worker sent no heartbeat any more, or did not end in time. */
  readonly timedOut: boolean;
  readonly details: unknown;
}

export interface Activity {
  readonly type: string;
  readonly id: string;
  readonly input: unknown;
  /** ISO 8601. */
  readonly scheduledAt: string;
  endedAt?: string;
  end?: 'completed' | 'failed' | 'canceled' | 'timedOut';
  /** Of the last attempt; 0 when none has started, as far as the history says. */
  attempts: number;
  worker?: string;
  result?: unknown;
  /** Of the last attempt that failed; earlier ones leave no trace in a history. */
  failure?: Failure;
}

export interface Update {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly at: string;
  endedAt?: string;
  /** The answer, or the text of the failure. */
  answer?: string;
  ok?: boolean;
}

export type RunEnd = 'completed' | 'failed' | 'canceled' | 'terminated' | 'timedOut' | 'continued';

export interface RunHistory {
  readonly workflowId: string;
  readonly runId: string;
  /** The first run of the chain: the identity of the migration. */
  readonly firstRunId: string;
  readonly startedAt: string;
  /** Time of its newest event. */
  readonly newestAt: string;
  readonly input: unknown;
  /** State that the run before it passed on; undefined in the first. */
  readonly carried: unknown;
  /** The run before it in the chain; '' for the first. */
  readonly continues: string;
  readonly activities: readonly Activity[];
  readonly updates: readonly Update[];
  readonly end?: RunEnd;
  readonly result?: unknown;
  readonly failure?: Failure;
}

/** @throws Error for a history without its first event. */
export function readHistory({ events }: History, workflowId: string, runId: string): RunHistory {
  const all = events ?? [];
  const started = all[0]?.workflowExecutionStartedEventAttributes;
  if (!started) throw new Error(`the history of run ${runId} has no beginning`);
  const [input, carried] = valuesOf(started.input?.payloads);
  const activities = new Map<string, Activity>();
  const updates = new Map<string, Update>();
  let ending: Pick<RunHistory, 'end' | 'result' | 'failure'> = {};
  for (const event of all) {
    noteActivity(activities, event);
    noteUpdate(updates, event);
    ending = endOf(event) ?? ending;
  }
  return {
    ...{
      workflowId: started.workflowId || workflowId,
      runId,
    },
    firstRunId: started.firstExecutionRunId || runId,
    ...{ startedAt: timeOf(all[0]), newestAt: timeOf(all.at(-1)), input, carried },
    continues: started.continuedExecutionRunId ?? '',
    ...{ activities: [...activities.values()], updates: [...updates.values()] },
    ...ending,
  };
}

function noteActivity(known: Map<string, Activity>, event: HistoryEvent): void {
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled) {
    known.set(String(event.eventId), {
      type: scheduled.activityType?.name ?? '',
      id: scheduled.activityId ?? '',
      input: valuesOf(scheduled.input?.payloads)[0],
      ...{ scheduledAt: timeOf(event), attempts: 0 },
    });
    return;
  }
  const started = event.activityTaskStartedEventAttributes;
  if (started) {
    const activity = known.get(String(started.scheduledEventId));
    if (!activity) return;
    activity.attempts = started.attempt ?? 1;
    if (started.identity) activity.worker = started.identity;
    if (started.lastFailure) activity.failure = failureOf(started.lastFailure);
    return;
  }
  const ended =
    event.activityTaskCompletedEventAttributes ??
    event.activityTaskFailedEventAttributes ??
    event.activityTaskTimedOutEventAttributes ??
    event.activityTaskCanceledEventAttributes;
  if (!ended) return;
  const activity = known.get(String(ended.scheduledEventId));
  if (!activity) return;
  activity.endedAt = timeOf(event);
  if (event.activityTaskCompletedEventAttributes) activity.end = 'completed';
  else if (event.activityTaskFailedEventAttributes) activity.end = 'failed';
  else activity.end = event.activityTaskTimedOutEventAttributes ? 'timedOut' : 'canceled';
  if ('result' in ended) activity.result = valuesOf(ended.result?.payloads)[0];
  if ('failure' in ended && ended.failure) activity.failure = failureOf(ended.failure);
}

function noteUpdate(known: Map<string, Update>, event: HistoryEvent): void {
  const accepted = event.workflowExecutionUpdateAcceptedEventAttributes;
  if (accepted) {
    const { meta, input } = accepted.acceptedRequest ?? {};
    known.set(meta?.updateId ?? accepted.protocolInstanceId ?? '', {
      ...{ name: input?.name ?? '', args: valuesOf(input?.args?.payloads), at: timeOf(event) },
    });
    return;
  }
  const completed = event.workflowExecutionUpdateCompletedEventAttributes;
  const update = known.get(completed?.meta?.updateId ?? '');
  if (!completed || !update) return;
  const { success, failure } = completed.outcome ?? {};
  const [answer] = valuesOf(success?.payloads);
  update.endedAt = timeOf(event);
  update.ok = !failure;
  update.answer = failure ? failureOf(failure).message : typeof answer === 'string' ? answer : '';
}

function endOf(event: HistoryEvent): Pick<RunHistory, 'end' | 'result' | 'failure'> | undefined {
  const completed = event.workflowExecutionCompletedEventAttributes;
  if (completed) return { end: 'completed', result: valuesOf(completed.result?.payloads)[0] };
  const failed = event.workflowExecutionFailedEventAttributes;
  if (failed)
    return { end: 'failed', ...(failed.failure ? { failure: failureOf(failed.failure) } : {}) };
  if (event.workflowExecutionCanceledEventAttributes) return { end: 'canceled' };
  if (event.workflowExecutionTerminatedEventAttributes) return { end: 'terminated' };
  if (event.workflowExecutionTimedOutEventAttributes) return { end: 'timedOut' };
  return event.workflowExecutionContinuedAsNewEventAttributes ? { end: 'continued' } : undefined;
}

function failureOf(failure: ProtoFailure): Failure {
  const { message, applicationFailureInfo, timeoutFailureInfo, cause } = failure;
  // The outer failure of an activity only says that it failed.
  if (!applicationFailureInfo && !timeoutFailureInfo && cause) return failureOf(cause);
  return {
    message: message ?? '',
    type: applicationFailureInfo?.type ?? '',
    timedOut: timeoutFailureInfo != null,
    details: valuesOf(applicationFailureInfo?.details?.payloads)[0],
  };
}

function valuesOf(payloads: readonly Payload[] | null | undefined): unknown[] {
  return (payloads ?? []).map((payload) => {
    try {
      return defaultPayloadConverter.fromPayload<unknown>(payload);
    } catch {
      // Encrypted by a codec that this machine does not have: the times are still known.
      return undefined;
    }
  });
}

/** Seconds are a `Long` from the server, and a number in a history that was read from JSON. */
function timeOf(event: HistoryEvent | undefined): string {
  const { seconds, nanos } = event?.eventTime ?? {};
  return new Date(Number(String(seconds ?? 0)) * 1000 + (nanos ?? 0) / 1_000_000).toISOString();
}
