/**
 * How fast the source can send: `pg_recvlogical` to /dev/null on a slot with exactly the options that walferry sends, taken from
 * the source's log. Measured over TCP, as walferry reads, and over a Unix socket, which shows the cost of decoding alone: a
 * message over TCP on one machine costs up to 3 µs more, because its receiver is woken for each one.
 */
import type { Rig } from '../rig/rig.ts';

/** Connections to the source, each with its slot. */
export const LIMITS = { tcp: 'bench_limit', socket: 'bench_limit_socket' } as const;

/** Creates the slots before the backlog is written. */
export async function createLimits(rig: Rig, database: string): Promise<void> {
  for (const slot of Object.values(LIMITS)) {
    await rig.source.rows(
      database,
      `select pg_create_logical_replication_slot('${slot}', 'wal2json')`,
    );
  }
}

/** Receives everything up to this LSN, and drops the slot. @returns seconds. */
export async function runLimit(
  rig: Rig,
  database: string,
  end: string,
  way: keyof typeof LIMITS,
): Promise<number> {
  const options = Object.entries(walferryOptions(rig.source.log())).flatMap(([name, value]) => [
    '-o',
    `${name}=${value}`,
  ]);
  const began = performance.now();
  await rig.source.run(
    'pg_recvlogical',
    [
      ...['-d', database, '-S', LIMITS[way], '--start', '-f', '/dev/null', '--endpos', end],
      ...['-s', '1', '--no-loop', ...options],
    ],
    way === 'tcp' ? rig.source.environment(database) : rig.source.socketEnvironment(database),
  );
  const seconds = (performance.now() - began) / 1000;
  await rig.source.rows(database, `select pg_drop_replication_slot('${LIMITS[way]}')`);
  return seconds;
}

/**
 * The options of walferry's newest START_REPLICATION in a log with `log_replication_commands`.
 * @throws Error when there is none.
 */
function walferryOptions(log: string): Readonly<Record<string, string>> {
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
