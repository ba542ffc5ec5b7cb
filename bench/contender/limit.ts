/**
 * How fast the source can send: `pg_recvlogical` to /dev/null on a slot with the very options that walferry sends, as the
 * source's log has them.
 */
import type { Rig } from '../rig/rig.ts';

export const LIMIT_SLOT = 'bench_limit';

/** Creates the slot before the backlog is written. */
export async function createLimit(rig: Rig, database: string): Promise<void> {
  await rig.source.rows(
    database,
    `select pg_create_logical_replication_slot('${LIMIT_SLOT}', 'wal2json')`,
  );
}

/** Receives everything up to this LSN, and drops the slot. @returns seconds. */
export async function runLimit(rig: Rig, database: string, end: string): Promise<number> {
  const options = Object.entries(walferryOptions(rig.source.log())).flatMap(([name, value]) => [
    '-o',
    `${name}=${value}`,
  ]);
  const began = performance.now();
  await rig.source.run(
    'pg_recvlogical',
    [
      ...['-d', database, '-S', LIMIT_SLOT, '--start', '-f', '/dev/null', '--endpos', end],
      ...['-s', '1', '--no-loop', ...options],
    ],
    database,
  );
  const seconds = (performance.now() - began) / 1000;
  await rig.source.rows(database, `select pg_drop_replication_slot('${LIMIT_SLOT}')`);
  return seconds;
}

/**
 * The options of walferry's newest START_REPLICATION in a log with `log_replication_commands`.
 * @throws Error when there is none.
 */
export function walferryOptions(log: string): Readonly<Record<string, string>> {
  const commands = [
    ...log.matchAll(/START_REPLICATION SLOT "walferry\w*" LOGICAL \S+ \((.*)\)$/gm),
  ];
  const newest = commands.at(-1)?.[1];
  if (newest === undefined) throw new Error('no START_REPLICATION of walferry in the log');
  return Object.fromEntries(
    [...newest.matchAll(/"([^"]+)" '((?:[^']|'')*)'/g)].map(([, name = '', value = '']) => [
      name,
      value.replaceAll("''", "'"),
    ]),
  );
}
