/**
 * `npm run bench`: walferry and its alternatives, on separate servers, compared in one run. Every result is checked
 * before its time counts. Asserts nothing about speed; exits with 1 when a result is wrong.
 */
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { measureCopy } from './measure/copy.ts';
import { measureCost } from './measure/cost.ts';
import { measureDrain } from './measure/drain.ts';
import { measureFleet } from './measure/many-migrations.ts';
import { measureLag } from './measure/lag.ts';
import { measureRecovery } from './measure/recovery.ts';
import type { Report } from './report/result.ts';
import { circumstances, markdown, write } from './report/write.ts';
import { Rig } from './rig/rig.ts';

/** In the checkout; git ignores it. */
const RESULTS = path.resolve(import.meta.dirname, 'results');

interface Options {
  readonly rounds: number;
  readonly scale: number;
  readonly only: readonly string[];
  readonly results: string;
}

const MEASUREMENTS: Readonly<
  Record<string, (rig: Rig, options: Options & { say: (line: string) => void }) => Promise<Report>>
> = {
  copy: measureCopy,
  drain: measureDrain,
  lag: measureLag,
  recovery: measureRecovery,
  cost: measureCost,
  fleet: measureFleet,
};

const number = (least: number) => (text: string) => {
  const value = Number(text);
  if (!(value >= least)) throw new InvalidArgumentError(`must be a number from ${least}.`);
  return value;
};

const program = new Command('npm run bench --')
  .description('Measures walferry against native logical replication, pipes of psql and pgcopydb.')
  .argument('[measurement...]', `${Object.keys(MEASUREMENTS).join(', ')}; all of them by default`)
  .option('--rounds <n>', 'times each case is measured', number(1), 3)
  .option('--scale <x>', 'part of the full size', number(0.0001), 1)
  .option('--only <case...>', 'only these cases', [])
  .option(
    '--quick',
    'one round at a hundredth of the size: shows that it works, not how fast',
    false,
  )
  .option('--results <folder>', 'where the tables are written', RESULTS)
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();

const { quick, ...given } = program.opts<Options & { quick: boolean }>();
const options = quick ? { ...given, rounds: 1, scale: 0.01 } : given;
const wanted = program.args.length > 0 ? program.args : Object.keys(MEASUREMENTS);
const unknown = wanted.find((name) => !(name in MEASUREMENTS));
if (unknown !== undefined) {
  program.error(`unknown measurement "${unknown}"; known: ${Object.keys(MEASUREMENTS).join(', ')}`);
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function measure(name: string, rig: Rig): Promise<void> {
  const where = circumstances(
    await rig.source.value('postgres', `select 'PostgreSQL ' || current_setting('server_version')`),
    options.rounds,
    options.scale,
  );
  const report = await MEASUREMENTS[name]?.(rig, { ...options, say });
  if (!report) return;
  if (report.rows.length === 0) throw new Error(`${name} has no case ${options.only.join(', ')}`);
  write(report, where, options.results);
  console.log(markdown(report, where));
  say(`${name} is written to ${options.results}`);
}

if (quick) {
  // The same servers for all: starting them would take most of the time.
  await using rig = await Rig.open();
  for (const name of wanted) {
    await measure(name, rig);
    await rig.endWorkers();
  }
} else {
  for (const name of wanted) {
    // Separate servers for each: no measurement benefits from the caches of another.
    await using rig = await Rig.open();
    await measure(name, rig);
  }
}
