/** `npm run tail`: the changes of a database as they commit, one JSON object per line. */
import { Command } from 'commander';
import { MigrationError } from '../contract/failure.ts';
import { classify } from '../postgres/connection/failure.ts';
import { decodeMessage } from '../postgres/wal2json/decode.ts';
import { LineMaker } from './tail/line.ts';
import { ChangeReader } from './tail/reader.ts';
import { patternWarnings, tableMatcher } from './tail/matcher.ts';

/** After this time a hint is printed; usually the slot waits for a transaction that is still open. */
const TELL_OF_WAITING_MS = 2_000;

interface Options {
  table: string[];
  raw: boolean;
}

const program = new Command('npm run tail --')
  .description(
    'Prints the changes of a PostgreSQL service as they commit, from a temporary slot, one JSON object per line.',
  )
  .argument(
    '<service>',
    'PostgreSQL service; needs wal_level=logical, wal2json and the REPLICATION privilege',
  )
  .option(
    '--table <pattern>',
    'only these tables (schema.table or table, with * and ?); may be repeated',
    (value: string, before: string[]) => [...before, value],
    [],
  )
  .option('--raw', 'print what wal2json sends, begin and commit included', false)
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
Examples:
  npm run tail -- orders_old
  npm run tail -- orders_old --table person --table 'audit.*'
  npm run --silent tail -- orders_old | jq -r .table

Values are text as the server prints it; an absent column was not changed. Ctrl-C stops it; no slot remains.
Exit codes: 0 ended by the reader, 2 error.`,
  )
  .action(async (service: string, options: Options) => {
    await tail(service, options);
  });

async function tail(service: string, options: Options): Promise<void> {
  const wanted = tableMatcher(options.table);
  const lines = new LineMaker(wanted);
  const reader = new ChangeReader(service, {
    message: (text, lsn) => {
      const line = options.raw ? raw(text, wanted) : format(lines.line(decodeMessage(text, lsn)));
      return line === undefined || process.stdout.write(`${line}\n`);
    },
    warning: (text) => console.error(`tail: WARNING of the server: ${text}`),
  });
  const stop = () => void reader.stop();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  process.stdout.on('drain', () => reader.resume());
  // The reader of the pipe has ended (head, less): not an error, and the slot must be dropped.
  process.stdout.on('error', stop);

  const waiting = setTimeout(() => {
    console.error(`tail: the slot waits for transactions that are open on "${service}" …`);
  }, TELL_OF_WAITING_MS);
  try {
    await reader.read((lsn, tables) => {
      clearTimeout(waiting);
      for (const text of patternWarnings(options.table, tables)) {
        console.error(`tail: WARNING: ${text}`);
      }
      console.error(`tail: reading "${service}" from ${lsn}; Ctrl-C stops it`);
    });
  } finally {
    clearTimeout(waiting);
  }
}

function raw(text: string, wanted: (schema: string, table: string) => boolean): string | undefined {
  const message = decodeMessage(text);
  return 'table' in message && !wanted(message.schema, message.table) ? undefined : text;
}

function format(line: Record<string, unknown> | undefined): string | undefined {
  return line === undefined ? undefined : JSON.stringify(line);
}

try {
  await program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)).parseAsync();
} catch (error) {
  const failure =
    error instanceof MigrationError
      ? error
      : classify(error, { step: `service "${program.args[0] ?? ''}"` }, 'Internal');
  // A local tool: the server's message helps the person at the terminal.
  const words = error instanceof Error && error !== failure ? `: ${error.message}` : '';
  console.error(`tail: ${failure.message}${words}`);
  process.exitCode = 2;
}
