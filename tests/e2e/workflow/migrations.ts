/**
 * Migrations over simulated databases: the real workflow and the real activity adapters on a real Temporal server,
 * with workers inside the test's process. Imports nothing of the test runner: the recorder of histories also uses it.
 */
import { randomUUID } from 'node:crypto';
import {
  Client,
  Connection,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
  type WorkflowHandle,
  type WorkflowOptions,
} from '@temporalio/client';
import { ApplicationFailure, TimeoutFailure } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActivities } from '../../../activities/create.ts';
import { Room } from '../../../activities/worker-capacity.ts';
import {
  parseProgress,
  type Phase,
  type Progress,
  type RunState,
} from '../../../contract/progress.ts';
import type { UpdateName } from '../../../workflows/state/policy.ts';
import { ACTIVITY_SLOTS, MAX_COPIES, MAX_MIGRATIONS } from '../../../workers/options.ts';
import { workflowBundle } from '../../../workers/bundle.ts';
import { until } from '../../support/until.ts';
import { World, simulatedSteps } from './world.ts';

/** What the caller of an update received. */
export interface Answered {
  readonly allowed: boolean;
  readonly text: string;
  readonly type?: string;
}

/** How a workflow ended. */
export interface Ended {
  readonly status: string;
  readonly type: string | undefined;
  readonly text: string;
}

const logger = new DefaultLogger('ERROR');
Runtime.install({ logger });

/** Faster than in production, so that the tests do not wait for heartbeats. */
const HEARTBEAT_THROTTLE = '100 milliseconds';

const SERVICES = { source: 'orders_old', target: 'orders_new' };

/** Without fence and verification unless the input has them: most tests are about something else. `undefined` asks for the default. */
function plain(input: unknown): unknown {
  const given = typeof input === 'object' && input !== null && 'source' in input;
  return given ? { fence: 'none', verify: 'off', ...input } : input;
}

/** One Temporal server and one task queue. */
export class Migrations implements AsyncDisposable {
  readonly client: Client;
  readonly #taskQueue = `simulated-${randomUUID()}`;
  readonly #connection: Connection;
  readonly #address: string;
  readonly #worlds = new Map<string, World>();
  readonly #workers: InProcessWorker[] = [];

  private constructor(address: string, connection: Connection) {
    this.#address = address;
    this.#connection = connection;
    this.client = new Client({ connection });
  }

  /** Connects and starts one worker. */
  static async open(address: string, room?: Room): Promise<Migrations> {
    const migrations = new Migrations(address, await Connection.connect({ address }));
    await migrations.startWorker(room);
    return migrations;
  }

  async startWorker(room = defaultRoom()): Promise<InProcessWorker> {
    const native = await NativeConnection.connect({ address: this.#address });
    const worker = await Worker.create({
      // A second worker on one connection and queue is refused.
      connection: native,
      taskQueue: this.#taskQueue,
      workflowBundle: await workflowBundle(logger),
      activities: createActivities({
        steps: simulatedSteps((m) => this.worldOf(m.workflowId)),
        room,
      }),
      maxConcurrentActivityTaskExecutions: ACTIVITY_SLOTS,
      maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
      defaultHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
      stickyQueueScheduleToStartTimeout: '3 seconds',
      shutdownForceTime: '20 seconds',
    });
    const running = worker.run();
    running.catch(() => undefined);
    let ending: Promise<void> | undefined;
    const started = {
      shutDown: () => {
        if (!ending) {
          worker.shutdown();
          ending = running.finally(() => native.close());
        }
        return ending;
      },
    };
    this.#workers.push(started);
    return started;
  }

  get workers(): readonly InProcessWorker[] {
    return this.#workers;
  }

  worldOf(workflowId: string): World {
    let world = this.#worlds.get(workflowId);
    if (!world) this.#worlds.set(workflowId, (world = new World()));
    return world;
  }

  /** Starts a migration; `prepare` first sets up its databases. */
  start(prepare: (world: World) => void = () => undefined, ...args: unknown[]) {
    return this.startWith({}, prepare, ...args);
  }

  /** As {@link start}, with options of `temporal workflow start`. */
  async startWith(
    options: Pick<WorkflowOptions, 'workflowExecutionTimeout' | 'workflowRunTimeout'>,
    prepare: (world: World) => void = () => undefined,
    ...args: unknown[]
  ) {
    const workflowId = `simulated-${randomUUID().slice(0, 8)}`;
    const world = this.worldOf(workflowId);
    prepare(world);
    const handle = await this.client.workflow.start('migrateDatabase', {
      ...options,
      taskQueue: this.#taskQueue,
      workflowId,
      args: args.length > 0 ? args.map(plain) : [plain(SERVICES)],
    });
    return new SimulatedMigration(handle, world, handle.firstExecutionRunId);
  }

  /** As {@link start}, and waits until it streams. */
  async streaming(
    prepare?: (world: World) => void,
    ...args: unknown[]
  ): Promise<SimulatedMigration> {
    const migration = await this.start(prepare, ...args);
    await migration.reaches('stream');
    await until('the stream to run', () => migration.world.isRunning('streamChanges'));
    return migration;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) {
      await worker.shutDown().catch(() => undefined);
    }
    await this.#connection.close();
  }
}

/** That of a worker without options. */
function defaultRoom(): Room {
  return new Room({ migrations: MAX_MIGRATIONS, copies: MAX_COPIES });
}

export interface InProcessWorker {
  shutDown(): Promise<void>;
}

export class SimulatedMigration {
  readonly handle: WorkflowHandle;
  readonly world: World;

  readonly firstRunId: string;

  constructor(handle: WorkflowHandle, world: World, firstRunId: string) {
    this.handle = handle;
    this.world = world;
    this.firstRunId = firstRunId;
  }

  get id(): string {
    return this.handle.workflowId;
  }

  async progress(): Promise<Progress> {
    return parseProgress(await this.handle.query<unknown>('progress'));
  }

  /** Current Details, as the Web UI shows them. */
  async details(): Promise<string> {
    const { currentDetails } = await this.handle.query<{ currentDetails?: string }>(
      '__temporal_workflow_metadata',
    );
    return currentDetails ?? '';
  }

  /** Number of the attempt of a pending activity; 0 when none is pending. */
  async attempt(type: string): Promise<number> {
    const { raw } = await this.handle.describe();
    return raw.pendingActivities?.find((one) => one.activityType?.name === type)?.attempt ?? 0;
  }

  async reaches(phase: Phase, state?: RunState): Promise<Progress> {
    return until(`phase ${phase} ${state ?? ''}`, async () => {
      const progress = await this.progress();
      return progress.phase === phase && (!state || progress.state === state) && progress;
    });
  }

  async ask(update: UpdateName, ...args: [] | [unknown]): Promise<Answered> {
    try {
      const options = args.length === 0 ? {} : { args };
      return {
        allowed: true,
        text: await this.handle.executeUpdate<string, [unknown]>(
          update,
          options as { args: [unknown] },
        ),
      };
    } catch (error) {
      if (!(error instanceof WorkflowUpdateFailedError)) throw error;
      const { cause } = error;
      const type = cause instanceof ApplicationFailure ? cause.type : undefined;
      return { allowed: false, text: cause?.message ?? error.message, type: type ?? 'none' };
    }
  }

  /** Waits for the end. */
  async end(): Promise<Ended> {
    let text: string;
    let type: string | undefined;
    try {
      const result: unknown = await this.handle.result();
      text = JSON.stringify(result);
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
      const { cause } = error;
      text = cause?.message ?? '';
      type = cause instanceof ApplicationFailure ? (cause.type ?? undefined) : cause?.name;
      if (cause instanceof TimeoutFailure) type = 'Timeout';
    }
    const { status } = await this.handle.describe();
    return { status: status.name, type, text };
  }

  /** Types of all activities that this run scheduled, in order. */
  async activities(): Promise<string[]> {
    const { events } = await this.handle.fetchHistory();
    return (events ?? []).flatMap((event) => {
      const name = event.activityTaskScheduledEventAttributes?.activityType?.name;
      return name == null ? [] : [name];
    });
  }

  /** Whether the workflow has run since an activity of this type completed. */
  async hasHeardOf(type: string): Promise<boolean> {
    const events = (await this.handle.fetchHistory()).events ?? [];
    const scheduled = events.find(
      (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === type,
    );
    const completed = events.findIndex(({ activityTaskCompletedEventAttributes: end }) =>
      end?.scheduledEventId?.equals(scheduled?.eventId ?? -1),
    );
    const later = completed < 0 ? [] : events.slice(completed);
    return later.some((event) => event.workflowTaskCompletedEventAttributes);
  }

  async eventCount(): Promise<number> {
    return (await this.handle.describe()).historyLength;
  }
}
