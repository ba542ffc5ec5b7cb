/** `walferry demo`: one whole migration under load on this machine, from set-up to the independent comparison. */
import type { Command } from 'commander';
import { DEFAULT_ROWS } from '../local/demo/comparison.ts';
import { whole } from './number.ts';

interface Options {
  readonly rows: number;
  readonly rate: number;
  readonly keep: boolean;
}

export function declareDemo(program: Command): void {
  program
    .command('demo')
    .summary('run one whole migration under load on this machine')
    .description(
      'Installs what is missing, starts two PostgreSQL servers and Temporal, and moves a live database from one to the\n' +
        'other while an application writes and workers are killed; compares every row, cuts over, and switches back.',
    )
    .option('--rows <n>', 'persons in the source', whole(1000, 1_000_000_000), DEFAULT_ROWS)
    .option('--rate <n>', 'changes per second of the application', whole(1, 100_000), 500)
    .option('--keep', 'keep everything running afterwards, and print commands to try', false)
    .addHelpText(
      'after',
      `
Examples:
  walferry demo
  walferry demo --rows 500000 --rate 1000
  walferry demo --keep

The databases of an earlier run are recreated. Only the servers of walferry cluster are touched.
With fewer rows than by default the copy may end before a worker can be killed during it; a line says so.
Exit codes: 0 nothing was lost, repeated or left behind, 1 not so (a line says what), 2 error,
130 interrupted.`,
    )
    .action(async (options: Options) => {
      const { demo } = await import('../local/demo/demonstration.ts');
      process.exitCode = await demo(options);
    });
}
