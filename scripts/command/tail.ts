/** `walferry tail`: the changes of a database as they commit. */
import type { Command } from 'commander';
import { repeated } from './repeated.ts';

interface Options {
  readonly table: readonly string[];
  readonly raw: boolean;
}

export function declareTail(program: Command): void {
  program
    .command('tail')
    .summary('print the changes of a database as they commit')
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
      repeated,
      [],
    )
    .option('--raw', 'print what wal2json sends, begin and commit included', false)
    .addHelpText(
      'after',
      `
Examples:
  walferry tail orders_old
  walferry tail orders_old --table person --table 'audit.*'
  walferry tail orders_old | jq -r .table

Values are text as the server prints it; an absent column was not changed. Ctrl-C stops it; no slot remains.
Exit codes: 0 ended by the reader, 2 error.`,
    )
    .action(async (service: string, options: Options) => {
      const { tail } = await import('../tail/printer.ts');
      await tail(service, options);
    });
}
