/** `npm run compare`: are two databases equal, row by row? Shares no code with the copy that it checks. */
import { Command, InvalidArgumentError } from 'commander';
import { compare } from './compare/compare.ts';
import type { CompareResult } from './compare/compare.ts';
import { CompareError } from './compare/psql.ts';
import type { TableResult } from './compare/table.ts';

interface Options {
  table: string[];
  exclude: string[];
  sequences: boolean;
  md5: boolean;
  show: number;
  json: boolean;
}

const several = (value: string, before: string[]) => [...before, value];

const program = new Command('npm run compare --')
  .description(
    'Compares every row and every sequence of two PostgreSQL services, without using the code of the copy.',
  )
  .argument('<source>', 'PostgreSQL service')
  .argument('<target>', 'PostgreSQL service')
  .option(
    '--table <pattern>',
    'only these tables (schema.table or table, with * and ?); may be repeated',
    several,
    [],
  )
  .option('--exclude <pattern>', 'not these tables; may be repeated', several, [])
  .option('--no-sequences', 'do not compare sequences')
  .option(
    '--md5',
    "use MD5 sums instead of the servers' own 64-bit hashes (three times slower)",
    false,
  )
  .option('--show <n>', 'differing keys to name per table', positive, 10)
  .option('--json', 'print one JSON object', false)
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
Examples:
  npm run compare -- orders_old orders_new
  npm run compare -- orders_old orders_new --table public.person --show 50
  npm run compare -- orders_old orders_new --exclude 'audit.*' --json

Each side is read in one snapshot. While a migration still streams, rows in flight show as differences.
Exit codes: 0 equal, 1 different, 2 error.`,
  )
  .action(async (source: string, target: string, options: Options) => {
    const { table: include, json, ...rest } = options;
    const result = await compare({ source, target, include, ...rest }, (done) => {
      if (!json) console.log(tableLines(done).join('\n'));
    });
    console.log(json ? JSON.stringify(result) : closingLines(result).join('\n'));
    process.exitCode = result.equal ? 0 : 1;
  });

function positive(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('must be a number above 0.');
  return Number(text);
}

function tableLines(result: TableResult): string[] {
  const count = (rows: number) => rows.toLocaleString('en');
  if (result.problem !== undefined) return [`${result.table}: ${result.problem}`];
  if (result.equal) return [`${result.table}: equal, ${count(result.sourceRows)} rows`];
  const atLeast = result.complete ? '' : 'at least ';
  return [
    `${result.table}: DIFFERENT, ${atLeast}${count(result.differing)} rows ` +
      `(source ${count(result.sourceRows)}, target ${count(result.targetRows)} rows)`,
    ...result.differences.map(({ key, kind }) => `  ${key}  ${kind}`),
  ];
}

function closingLines(result: CompareResult): string[] {
  const different = result.tables.filter((table) => !table.equal).length;
  return [
    ...result.differingSequences.map(
      ({ sequence, source, target }) =>
        `sequence ${sequence}: DIFFERENT, source ${source}, target ${target}`,
    ),
    result.equal
      ? `equal: ${result.tables.length} tables, ${result.sequences} sequences, ${result.seconds.toFixed(1)} s`
      : `different: ${different} of ${result.tables.length} tables, ` +
        `${result.differingSequences.length} of ${result.sequences} sequences, ${result.seconds.toFixed(1)} s`,
  ];
}

try {
  await program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)).parseAsync();
} catch (error) {
  if (!(error instanceof CompareError)) throw error;
  console.error(`compare: ${error.message}`);
  process.exitCode = 2;
}
