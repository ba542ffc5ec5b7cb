/** `npm run writer`: an application that constantly writes to a database and keeps a ledger of what it committed. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { checkLedger, printResult } from './writer/check.ts';
import { describeTotals, prepare, write } from './writer/run.ts';

/** Makes the copy of all rows last about 10 s on a small machine. */
const DEFAULT_ROWS = 3_000_000;

const whole = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}.`);
  }
  return value;
};

interface RunOptions {
  rows: number;
  rate: number;
  connections: number;
  duration?: number;
  ledger?: string;
  seed: number;
}

const program = new Command('npm run writer --')
  .description('A small application that constantly writes to a PostgreSQL service.')
  .showHelpAfterError()
  // Before the subcommands, which inherit it: wrong arguments are 2, because 1 is a result of `check`.
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .addHelpText(
    'after',
    `
Examples:
  npm run writer -- source                                    seed and write until Ctrl-C
  npm run writer -- source --rate 2000 --duration 30 --ledger ledger.jsonl
  npm run writer -- source --rows 100000 --rate 0             only seed
  npm run writer -- check target --ledger ledger.jsonl        is every acknowledged commit there, and nothing else?

The tables are person, account, purchase, note and event. Ctrl-C or SIGTERM finishes the open transactions.
Exit codes: 0 done (check: the database matches the ledger), 1 check found a difference, 2 error.`,
  );

const run = program
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
  .option('--ledger <file>', 'append every transaction and its outcome to this file')
  .addOption(
    new Option('--seed <n>', 'seed of the random choices')
      .argParser(whole(0, 2 ** 32 - 1))
      .default(Date.now() % 2 ** 32, 'random, printed'),
  )
  .action(async (service: string, options: RunOptions) => {
    await prepare(service, options.rows, print);
    if (options.rate === 0) return;
    print(
      `writing to "${service}": ${options.rate} changes/s over ${options.connections} connections, seed ${options.seed}`,
    );
    const { duration, ledger, ...rest } = options;
    const totals = await write(
      { service, seconds: duration, ledger, ...rest },
      stopSignal(),
      print,
    );
    print(describeTotals(totals));
  });

program
  .command('check')
  .description('compare a ledger with a database, row by row')
  .argument('<service>', 'PostgreSQL service to check')
  .requiredOption('--ledger <file>', 'the file that the writer wrote')
  .action(async (service: string, options: { ledger: string }) => {
    const comparison = await checkLedger(service, options.ledger);
    printResult(comparison, print);
    process.exitCode = comparison.problems === 0 ? 0 : 1;
  });

// Most readers of `--help` look for the options of the default command.
program.addHelpText('before', () => `${run.helpInformation()}\nAll commands:\n`);

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

// A reader that ended (`npm run writer … | head`) is no error of the application.
process.stdout.on('error', () => process.exit(0));

try {
  await program.parseAsync();
} catch (error) {
  console.error(`writer: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
