/** `walferry worker`: runs migrations. */
import { Option, type Command } from 'commander';
import { MAX_COPIES, MAX_MIGRATIONS, TASK_QUEUE } from '../../workers/options.ts';
import type { WorkerSettings } from '../../workers/worker.ts';
import { whole } from './number.ts';

/** More than any server has sessions for. */
const MOST = 1_000_000;

export function declareWorker(program: Command): void {
  program
    .command('worker')
    .summary('run migrations: poll a task queue of a Temporal server')
    .description('Runs migrations: polls a task queue of a Temporal server.')
    .option('--task-queue <name>', 'task queue to poll', TASK_QUEUE)
    .option(
      '--max-activities <n>',
      'open migrations at the same time',
      whole(1, MOST),
      MAX_MIGRATIONS,
    )
    .option(
      '--max-copies <n>',
      'copies at the same time, of all migrations',
      whole(1, MOST),
      MAX_COPIES,
    )
    .addOption(
      new Option('--log-format <format>', 'format of log lines')
        .choices(['json', 'pretty'])
        .default(process.stdout.isTTY ? 'pretty' : 'json', 'pretty on a terminal'),
    )
    .addOption(
      new Option('--log-level <level>', 'the lowest level that is written')
        .choices(['trace', 'debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addHelpText(
      'after',
      `
Finds Temporal as the CLI does: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…, or a profile of
temporal.toml. Finds databases as psql does: PGSERVICEFILE, PGPASSFILE. A migration occupies one worker place of
--max-activities while it copies or streams; a pause frees it. One without a worker place waits, and reports that in its
progress, in Current Details and in this log.
Exit codes: 0 after SIGINT or SIGTERM, 1 after an error, 2 wrong arguments.`,
    )
    .action(async (settings: WorkerSettings) => {
      const { runWorker } = await import('../../workers/worker.ts');
      await runWorker(settings);
    });
}
