/**
 * The worker process: polls the task queue, runs workflow code and activities. Any number of workers share the work; any of
 * them may die at any moment. One process, no wrapper, so that a signal reaches the worker and nothing else.
 *
 * Exit code 0 after SIGINT or SIGTERM, 1 after an error, 2 for wrong arguments.
 */
import './heap.ts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { Runtime, Worker, type Logger, type NativeConnection } from '@temporalio/worker';
import { createActivities } from '../activities/create.ts';
import { Room } from '../activities/room.ts';
import { closeSteps, steps } from '../activities/steps.ts';
import { workflowBundle } from './bundle.ts';
import { connectTemporal } from './connection.ts';
import { LOG_LEVELS, createLogger, type LogFormat, type LogLevelName } from './logger.ts';
import {
  ACTIVITY_POLLS,
  ACTIVITY_SLOTS,
  HEARTBEAT_THROTTLE,
  MAX_COPIES,
  MAX_MIGRATIONS,
  SHUTDOWN_FORCE,
  STICKY_TIMEOUT,
  TASK_QUEUE,
  WORKFLOW_POLLS,
} from './options.ts';

interface Settings {
  readonly taskQueue: string;
  readonly maxActivities: number;
  readonly maxCopies: number;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevelName;
}

const USAGE_ERROR = 2;

const HELP = `
Finds Temporal as the CLI does: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY,
TEMPORAL_TLS_…, or a profile of temporal.toml. Finds databases as psql does: PGSERVICEFILE,
PGPASSFILE. A migration occupies one worker place of --max-activities while it copies or streams; a
pause frees it. One without a worker place waits, and reports that in its progress, in Current Details
and in this log.`;

function settingsOf(args: readonly string[]): Settings {
  const program = new Command('npm run worker --')
    .description('Runs migrations: polls a task queue of a Temporal server.')
    .option('--task-queue <name>', 'task queue to poll', TASK_QUEUE)
    .option('--max-activities <n>', 'open migrations at the same time', positive, MAX_MIGRATIONS)
    .option('--max-copies <n>', 'copies at the same time, of all migrations', positive, MAX_COPIES)
    .addOption(
      new Option('--log-format <format>', 'format of log lines (default: pretty on a terminal)')
        .choices(['json', 'pretty'])
        .default(process.stdout.isTTY ? 'pretty' : 'json', 'pretty on a terminal'),
    )
    .addOption(new Option('--log-level <level>').choices(LOG_LEVELS).default('info'))
    .addHelpText('after', HELP)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : USAGE_ERROR));
  program.parse([...args], { from: 'user' });
  return program.opts<Settings>();
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('must be a whole number above 0');
}

async function main(settings: Settings): Promise<void> {
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
  { taskQueue, maxActivities, maxCopies }: Settings,
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

main(settingsOf(process.argv.slice(2))).then(
  () => process.exit(0),
  (error: unknown) => {
    // A worker that stays up without polling would look alive to its supervisor.
    process.stderr.write(
      `worker failed: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  },
);
