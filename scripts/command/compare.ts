/**
 * `walferry compare`: are two databases equal, row by row? That part shares no code with the copy that it checks. With a migration it
 * also says what differs beside rows, and the SQL for the target.
 */
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
  readonly migration?: string;
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
    .option(
      '--migration <workflow-id>',
      'also compare definitions (columns, indexes, functions, grants, …) as this migration moves them, with the SQL for the target',
    )
    .option('--json', 'print one JSON object', false)
    .addHelpText(
      'after',
      `
Examples:
  walferry compare orders_old orders_new
  walferry compare orders_old orders_new --table public.person --show 50
  walferry compare orders_old orders_new --exclude 'audit.*' --json
  walferry compare orders_old orders_new --migration orders

Each side is read in one snapshot. While a migration still streams, rows in flight show as differences.
With --migration, definitions are compared now, by the input of that workflow, which Temporal has: while it runs, what it builds
later is no difference. WRONG is what an application would notice. While it runs, the contents of materialized views are compared,
too. While a way back is open, name the new database first to see what the old one lacks.
Exit codes: 0 equal (definitions: nothing wrong), 1 different, 2 error.`,
    )
    .action(async (source: string, target: string, options: Options) => {
      const { compare } = await import('../compare/databases.ts');
      const { closingLines, tableLines } = await import('../compare/result-line.ts');
      const { table: include, json, migration, ...rest } = options;
      const result = await compare({ source, target, include, ...rest }, (done) => {
        if (!json) console.log(tableLines(done).join('\n'));
      });
      if (!json) console.log(closingLines(result).join('\n'));
      const definitions = migration === undefined ? [] : await differing(migration, source, target);
      if (json) {
        const more = migration === undefined ? {} : { definitions };
        console.log(JSON.stringify({ ...result, ...more }));
      } else if (migration !== undefined) {
        const { definitionLines } = await import('../definitions/migration.ts');
        console.log(definitionLines(definitions).join('\n'));
      }
      const isEqual = result.equal && !definitions.some(({ wrong }) => wrong === true);
      process.exitCode = isEqual ? 0 : 1;
    });
}

async function differing(workflowId: string, source: string, target: string) {
  const { differencesOf } = await import('../definitions/migration.ts');
  return differencesOf(workflowId, { source, target });
}
