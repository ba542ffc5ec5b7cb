/** `walferry compare`: are two databases equal, row by row? Shares no code with the copy that it checks. */
import type { Command } from 'commander';
import { whole } from './number.ts';
import { repeated } from './repeated.ts';

interface Options {
  readonly table: string[];
  readonly exclude: string[];
  readonly sequences: boolean;
  readonly md5: boolean;
  readonly show: number;
  readonly json: boolean;
}

export function declareCompare(program: Command): void {
  program
    .command('compare')
    .summary('compare two databases row by row, independently of the copy')
    .description(
      'Compares every row and every sequence of two PostgreSQL services, without using the code of the copy.',
    )
    .argument('<source>', 'PostgreSQL service')
    .argument('<target>', 'PostgreSQL service')
    .option(
      '--table <pattern>',
      'only these tables (schema.table or table, with * and ?); may be repeated',
      repeated,
      [],
    )
    .option('--exclude <pattern>', 'not these tables; may be repeated', repeated, [])
    .option('--no-sequences', 'do not compare sequences')
    .option(
      '--md5',
      "use MD5 sums instead of the servers' own 64-bit hashes (three times slower)",
      false,
    )
    .option('--show <n>', 'differing keys to name per table', whole(1, 9_999_999), 10)
    .option('--json', 'print one JSON object', false)
    .addHelpText(
      'after',
      `
Examples:
  walferry compare orders_old orders_new
  walferry compare orders_old orders_new --table public.person --show 50
  walferry compare orders_old orders_new --exclude 'audit.*' --json

Each side is read in one snapshot. While a migration still streams, rows in flight show as differences.
Exit codes: 0 equal, 1 different, 2 error.`,
    )
    .action(async (source: string, target: string, options: Options) => {
      const { compare } = await import('../compare/databases.ts');
      const { closingLines, tableLines } = await import('../compare/result-line.ts');
      const { table: include, json, ...rest } = options;
      const result = await compare({ source, target, include, ...rest }, (done) => {
        if (!json) console.log(tableLines(done).join('\n'));
      });
      console.log(json ? JSON.stringify(result) : closingLines(result).join('\n'));
      process.exitCode = result.equal ? 0 : 1;
    });
}
