/** `npm start`: one whole migration under load on this machine, from set-up to the independent comparison. */
import { Command, InvalidArgumentError } from 'commander';
import { runDemo } from './start/demo.ts';
import { leaveRunning } from './start/keep.ts';
import { clearTheStage, setTheStage } from './start/stage.ts';
import type { Stage } from './start/stage.ts';
import { DEFAULT_ROWS } from './start/comparison.ts';

interface Options {
  rows: number;
  rate: number;
  keep: boolean;
}

const whole = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}.`);
  }
  return value;
};

const program = new Command('npm start --')
  .description(
    'Installs what is missing, starts two PostgreSQL servers and Temporal, and moves a live database from one to the\n' +
      'other while an application writes and workers are killed; then compares every row.',
  )
  .option('--rows <n>', 'persons in the source', whole(1000, 1_000_000_000), DEFAULT_ROWS)
  .option('--rate <n>', 'changes per second of the application', whole(1, 100_000), 500)
  .option('--keep', 'keep everything running afterwards, and print commands to try', false)
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
Examples:
  npm start
  npm start -- --rows 500000 --rate 1000
  npm start -- --keep

The databases of an earlier run are recreated. Only the servers of this checkout are touched.
With fewer rows than by default the copy may end before a worker can be killed during it; a line says so.
Exit codes: 0 source and target are equal and the kills cost no finished work, 1 not so (a line says what), 2 error,
130 interrupted.`,
  )
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();

process.exitCode = await start(program.opts<Options>());

async function start({ keep, ...settings }: Options): Promise<number> {
  const interrupted = interruption();
  let stage: Stage | undefined;
  let left = false;
  try {
    stage = await setTheStage(say);
    const { passed } = await runDemo(stage, settings, interrupted, say);
    if (keep) {
      leaveRunning(stage, settings.rate, say);
      left = true;
    }
    return passed ? 0 : 1;
  } catch (error) {
    if (interrupted.aborted) return 130;
    console.error(`start: ${error instanceof Error ? error.message : String(error)}`);
    if (stage) console.error(`logs: ${stage.cluster.places.data}/logs`);
    return 2;
  } finally {
    if (stage && !left) {
      say('ending all processes …');
      await clearTheStage(stage);
    }
  }
}

/** The first signal requests a clean end. A second one must not interrupt that: it would leave servers behind. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) say('\ninterrupted: cleaning up …');
      controller.abort(new Error('interrupted'));
    });
  }
  return controller.signal;
}

function say(line: string): void {
  console.log(line);
}
