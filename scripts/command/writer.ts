/** `walferry writer`: an application that constantly writes to a database and keeps a ledger of what it committed. */
import { Option, type Command } from 'commander';
import { OperatorError } from '../operator-error.ts';
import { whole } from './number.ts';

/** Makes the copy of all rows last about 10 s on a small machine. */
const DEFAULT_ROWS = 3_000_000;

interface RunOptions {
  readonly rows: number;
  readonly rate: number;
  readonly connections: number;
  readonly duration?: number;
  readonly ledger?: string;
  readonly or?: string;
  readonly seed: number;
}

const EXAMPLES = `
Examples:
  walferry writer source                                    seed and write until Ctrl-C
  walferry writer source --rate 2000 --duration 30 --ledger ledger.jsonl
  walferry writer source --rows 100000 --rate 0             only seed
  walferry writer source --or target                        through a cutover: writes where it may
  walferry writer check target --ledger ledger.jsonl        is every acknowledged commit there, and nothing else?

The tables are person, account, purchase, note and event. Ctrl-C or SIGTERM finishes the open transactions.
Exit codes: 0 done (check: the database matches the ledger), 1 check found a difference, 2 error.`;

export function declareWriter(program: Command): void {
  const writer = program
    .command('writer')
    .summary('write to a database as an application does, with a ledger')
    .description('A small application that constantly writes to a PostgreSQL service.')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES);
  const run = declareRun(writer);
  declareCheck(writer);
  // Most readers of `--help` look for the options of the default command.
  writer.addHelpText('before', () => `${run.helpInformation()}\nAll commands:\n`);
}

function declareRun(writer: Command): Command {
  return writer
    .command('run', { isDefault: true })
    .description('seed the tables if they are empty, then write (the default command)')
    .argument('<service>', 'PostgreSQL service to write to')
    .option('--rows <n>', 'persons to seed', whole(1, 1_000_000_000), DEFAULT_ROWS)
    .option(
      '--rate <n>',
      'changes per second over all connections; 0 only seeds',
      whole(0, 1_000_000),
      500,
    )
    .option('--connections <n>', 'connections with overlapping transactions', whole(1, 100), 4)
    .option('--duration <seconds>', 'stop after this time', whole(1, 1_000_000))
    .option('--or <service>', 'where to write when the first service refuses (SQLSTATE 25006)')
    .option('--ledger <file>', 'append every transaction and its outcome to this file')
    .addOption(
      new Option('--seed <n>', 'seed of the random choices')
        .argParser(whole(0, 2 ** 32 - 1))
        .default(Date.now() % 2 ** 32, 'random, printed'),
    )
    .action((service: string, options: RunOptions) => explaining(() => write(service, options)));
}

function declareCheck(writer: Command): void {
  writer
    .command('check')
    .description('compare a ledger with a database, row by row')
    .argument('<service>', 'PostgreSQL service to check')
    .requiredOption('--ledger <file>', 'the file that the writer wrote')
    .action((service: string, options: { ledger: string }) =>
      explaining(() => check(service, options.ledger)),
    );
}

async function write(service: string, options: RunOptions): Promise<void> {
  const application = await import('../local/writer/application.ts');
  // A reader that ended (`walferry writer … | head`) is no error of the application.
  process.stdout.on('error', () => process.exit(0));
  await application.prepare(service, options.rows, print);
  if (options.rate === 0) return;
  print(
    `writing to "${service}": ${options.rate} changes/s over ${options.connections} connections, seed ${options.seed}`,
  );
  const { duration, ledger, or, ...rest } = options;
  const settings = { service, or, seconds: duration, ledger, ...rest };
  print(application.describeTotals(await application.write(settings, stopSignal(), print)));
}

async function check(service: string, ledger: string): Promise<void> {
  const { checkLedger, printResult } = await import('../local/writer/check.ts');
  const comparison = await checkLedger(service, ledger);
  printResult(comparison, print);
  process.exitCode = comparison.problems === 0 ? 0 : 1;
}

/** A tool for tests and demonstrations: whatever fails, its message is enough. */
async function explaining(work: () => Promise<void>): Promise<void> {
  await work().catch((error: unknown) => {
    throw new OperatorError(error instanceof Error ? error.message : String(error));
  });
}

/** The first signal requests a clean end, the second ends at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  }
  return controller.signal;
}

function print(line: string): void {
  console.log(line);
}
