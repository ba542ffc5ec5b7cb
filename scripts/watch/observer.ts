/** Polls a workflow: description, `progress` query, heartbeats, and at the end its result. */
import { WorkflowNotFoundError } from '@temporalio/client';
import type { WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload } from '@temporalio/common';
import { optionalTsToMs } from '@temporalio/common/lib/time.js';
import { parseProgress, type Progress } from '../../contract/progress.ts';
import { OperatorError } from '../operator-error.ts';
import { isOpen, type LiveActivity, type Numbers, type Sample } from './sample.ts';
import type { TemporalClient } from './temporal-client.ts';

/** A query needs a worker; without one, the rest of the view must not wait for it. */
const QUERY_DEADLINE_MS = 5_000;
const DESCRIBE_DEADLINE_MS = 5_000;
/** PENDING_ACTIVITY_STATE_SCHEDULED of Temporal's API. */
const WAITS_FOR_ITS_NEXT_ATTEMPT = 1;

export interface Ending {
  readonly ok: boolean;
  /** One sentence: the summary of a completed migration, or why it ended. */
  readonly text: string;
  /** What a completed workflow returned; undefined otherwise. */
  readonly result: unknown;
}

/** The server knows no workflow with that id. */
export class UnknownWorkflow extends OperatorError {
  override readonly name = 'UnknownWorkflow';
}

export class Observer {
  readonly #temporal: TemporalClient;
  readonly #id: string;
  /** Without a run id: every call reaches the newest run, which follows continue-as-new automatically. */
  readonly #handle: WorkflowHandle;
  #progress: Progress | undefined;
  #last: Sample | undefined;
  #query: Promise<void> | undefined;
  #queryTrouble: string | undefined;

  constructor(temporal: TemporalClient, workflowId: string) {
    this.#temporal = temporal;
    this.#id = workflowId;
    this.#handle = temporal.client.workflow.getHandle(workflowId);
  }

  /** @throws UnknownWorkflow; a server that does not answer is a `trouble` of the sample instead. */
  async look(): Promise<Sample> {
    const at = performance.now();
    try {
      const described = await this.#temporal.client.withDeadline(
        Date.now() + DESCRIBE_DEADLINE_MS,
        () => this.#handle.describe(),
      );
      this.#ask();
      await Promise.race([this.#query, soon()]);
      if (!isOpen(described.status.name)) {
        // The last sample: an answer from before the end would stay on the screen.
        await this.#query;
        this.#ask();
        await this.#query;
      }
      this.#last = {
        at,
        status: described.status.name,
        progress: this.#progress,
        activities: liveActivities(described),
        // A workflow refused at its start, such as for invalid input, never answers: its result says why, and no worker
        // is missing.
        trouble: this.#progress || isOpen(described.status.name) ? this.#queryTrouble : undefined,
      };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) {
        throw new UnknownWorkflow(
          `the server at ${this.#temporal.address} knows no workflow "${this.#id}" in namespace ${this.#temporal.namespace}`,
        );
      }
      const trouble = `the Temporal server at ${this.#temporal.address} does not answer; retrying`;
      const before = this.#last ?? { status: 'RUNNING', progress: undefined, activities: [] };
      this.#last = { ...before, at, trouble };
    }
    return this.#last;
  }

  /** Resolves when no query is open. A retry of the client that fires after its connection closed ends the process. */
  async settled(): Promise<void> {
    await this.#query;
  }

  /** How a closed workflow ended. */
  async ending(): Promise<Ending> {
    try {
      const result: unknown = await this.#handle.result();
      return { ok: true, text: summaryOf(result), result };
    } catch (error) {
      return { ok: false, text: reasonOf(error), result: undefined };
    }
  }

  /** Queries in the background, one query at a time. */
  #ask(): void {
    this.#query ??= this.#temporal.client
      .withDeadline(Date.now() + QUERY_DEADLINE_MS, () => this.#handle.query<unknown>('progress'))
      .then(
        (answer) => {
          try {
            this.#progress = parseProgress(answer);
            this.#queryTrouble = undefined;
          } catch (error) {
            this.#queryTrouble = `${error instanceof Error ? error.message : String(error)}; run watch in the version of the workers`;
          }
        },
        () => {
          this.#queryTrouble = 'no worker answers; the numbers are old';
        },
      )
      .finally(() => {
        this.#query = undefined;
      });
  }
}

/** A fast answer belongs to the same sample; a slow one to a later one. */
function soon(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 300));
}

function liveActivities({ raw }: WorkflowExecutionDescription): LiveActivity[] {
  return (raw.pendingActivities ?? []).map((activity) => ({
    type: activity.activityType?.name ?? '',
    attempt: activity.attempt ?? 1,
    worker: activity.lastWorkerIdentity ?? undefined,
    heartbeat: decode(activity.heartbeatDetails?.payloads?.[0]),
    ...heard(activity),
    failure: activity.lastFailure?.message ?? undefined,
  }));
}

type PendingActivity = NonNullable<
  WorkflowExecutionDescription['raw']['pendingActivities']
>[number];

/** Compares times of one clock, the server's: this machine's clock may differ. */
function heard(activity: PendingActivity): Pick<LiveActivity, 'live' | 'heardAt'> {
  const at = optionalTsToMs(activity.lastHeartbeatTime);
  if (at === undefined) return { live: false, heardAt: undefined };
  const started = optionalTsToMs(activity.lastStartedTime) ?? 0;
  const waits = Number(activity.state) === WAITS_FOR_ITS_NEXT_ATTEMPT;
  return { live: !waits && at >= started, heardAt: new Date(at).toISOString() };
}

function decode(payload: Payload | null | undefined): Numbers {
  if (!payload) return {};
  try {
    const value: unknown = defaultPayloadConverter.fromPayload(payload);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    // Encrypted by a codec that this machine does not have: the numbers of the query are enough.
    return {};
  }
}

function summaryOf(result: unknown): string {
  if (typeof result === 'string') return result;
  if (typeof result === 'object' && result !== null && 'summary' in result) {
    return String(result.summary);
  }
  return 'completed';
}

/** The innermost reason is the one that the workflow gave; the outer ones only say that it failed. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error) return reasonOf(cause);
  return error instanceof Error ? error.message : String(error);
}
