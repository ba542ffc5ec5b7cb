/**
 * The worker process: polls the task queue, runs workflow code and activities. Any number of workers share the work; any of
 * them may die at any moment. One process, no wrapper, so that a signal reaches the worker and nothing else.
 */
import './heap.ts';
import { Runtime, Worker, type Logger, type NativeConnection } from '@temporalio/worker';
import { createActivities } from '../activities/create.ts';
import { Room } from '../activities/worker-capacity.ts';
import { closeSteps, steps } from '../activities/steps.ts';
import { workflowBundle } from './bundle.ts';
import { connectTemporal } from './connection.ts';
import { createLogger, type LogFormat, type LogLevelName } from './logger.ts';
import {
  ACTIVITY_POLLS,
  ACTIVITY_SLOTS,
  HEARTBEAT_THROTTLE,
  SHUTDOWN_FORCE,
  STICKY_TIMEOUT,
  WORKFLOW_POLLS,
} from './options.ts';

export interface WorkerSettings {
  readonly taskQueue: string;
  readonly maxActivities: number;
  readonly maxCopies: number;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevelName;
}

/** Works until a signal (exit code 0) or a fatal error (1) ends the process. */
export async function runWorker(settings: WorkerSettings): Promise<never> {
  try {
    await work(settings);
    process.exit(0);
  } catch (error) {
    // A worker that stays up without polling would look alive to its supervisor.
    process.stderr.write(
      `worker failed: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  }
}

async function work(settings: WorkerSettings): Promise<void> {
  const logger = createLogger(settings.logFormat, settings.logLevel);
  Runtime.install({
    logger,
    telemetryOptions: { logging: { filter: { core: 'WARN', other: 'WARN' }, forward: {} } },
  });
  const bundling = workflowBundle(infoAsDebug(logger));
  const { connection, address, namespace } = await connectTemporal(logger);
  const worker = await createWorker(settings, connection, namespace, await bundling);
  const running = worker.run();
  logger.info(
    `worker ready: polls task queue ${settings.taskQueue} of namespace ${namespace} at ${address}`,
  );
  await running;
  await closeSteps();
  await connection.close();
  logger.info('worker stopped');
}

function createWorker(
  { taskQueue, maxActivities, maxCopies }: WorkerSettings,
  connection: NativeConnection,
  namespace: string,
  bundle: Awaited<ReturnType<typeof workflowBundle>>,
): Promise<Worker> {
  const room = new Room({ migrations: maxActivities, copies: maxCopies });
  return Worker.create({
    connection,
    namespace,
    taskQueue,
    workflowBundle: bundle,
    activities: createActivities({ steps, room }),
    maxConcurrentActivityTaskExecutions: ACTIVITY_SLOTS,
    activityTaskPollerBehavior: ACTIVITY_POLLS,
    workflowTaskPollerBehavior: WORKFLOW_POLLS,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT,
    shutdownForceTime: SHUTDOWN_FORCE,
  });
}

/** The bundler logs its progress as information; a worker's log is for migrations. */
function infoAsDebug(logger: Logger): Logger {
  return { ...logger, info: (message, meta) => void logger.debug(message, meta) };
}
