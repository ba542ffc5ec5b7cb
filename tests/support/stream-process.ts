/**
 * A lease in its own process, for tests that kill or stop it: `stream-process MIGRATION OPTIONS [back]`
 * (JSON). Prints `started`, then one line with the report or the failure's code.
 */
import { parseArgs } from 'node:util';
import type { Migration } from '../../contract/migration.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { StreamOptions } from '../../postgres/stream/stream-options.ts';
import { streamReverse } from '../../postgres/switchback/reverse-stream.ts';
import { streamChanges } from './lease.ts';

const [migration, options, way] = parseArgs({ allowPositionals: true }).positionals;
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
try {
  const stream = way === 'back' ? streamReverse : streamChanges;
  const report = await stream(
    JSON.parse(migration ?? '') as Migration,
    JSON.parse(options ?? '') as StreamOptions,
    {
      signal: new AbortController().signal,
      beat: () => undefined,
      log: { info: () => say('started'), warn: () => undefined },
    },
  );
  say(JSON.stringify(report));
} catch (error) {
  say(error instanceof MigrationError ? error.code : String(error));
}
