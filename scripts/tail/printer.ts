/** `walferry tail`: one JSON object per line, as slowly as its reader reads. */
import { explained } from '../explained.ts';
import { decodeMessage } from '../../postgres/wal2json/decode.ts';
import { LineMaker } from './line.ts';
import { ChangeReader } from './reader.ts';
import { patternWarnings, tableMatcher } from './matcher.ts';

/** After this time a hint is printed; usually the slot waits for a transaction that is still open. */
const TELL_OF_WAITING_MS = 2_000;

interface TailOptions {
  /** Patterns; none means every table. */
  readonly table: readonly string[];
  /** Whether to print what wal2json sends. */
  readonly raw: boolean;
}

/**
 * Prints until it is stopped.
 * @throws OperatorError with the server's words.
 */
export async function tail(service: string, options: TailOptions): Promise<void> {
  try {
    await print(service, options);
  } catch (error) {
    throw explained(error, `service "${service}"`);
  }
}

async function print(service: string, options: TailOptions): Promise<void> {
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
