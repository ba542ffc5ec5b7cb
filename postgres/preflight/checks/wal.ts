/**
 * The source's WAL can be decoded, and the source keeps it until it is read. The slot is not read during the copy, so exceeding a
 * limit in hour one is noticed in hour ten.
 *
 * SQL shows the bytes to copy, the WAL written since the last statistics reset, and the limit. It does not show how fast the copy
 * will be, what the application will write, and how much disk space is free.
 */
import pg from 'pg';
import { size, span } from '../wording.ts';
import {
  defineCheck,
  raising,
  notes,
  refuses,
  refusesOrWarns,
  warns,
  type Values,
  type Found,
} from '../check.ts';
import { bytesOf, FAST_COPY, SLOW_COPY, WORTH_A_NOTE_BYTES } from '../facts/copy-size.ts';
import { relations } from '../facts/selected.ts';
import { value, type SourceReading } from '../reading.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error, warning, note } = raising({
  'wal-level': refuses("The source's WAL cannot be decoded."),
  'wal-limit': refusesOrWarns('The source limits the WAL of a slot, and the copy may need more.'),
  'wal-expected': notes(
    'How much WAL the source is expected to keep for the copy; SQL cannot show free disk space.',
  ),
  'slot-timeout': warns(
    'The source invalidates slots that stay idle (idle_replication_slot_timeout).',
  ),
  'decoding-memory': notes(
    'Large transactions spill to disk on the source; more memory for decoding makes them faster.',
  ),
  'synchronous-standbys': warns('The source may treat the stream as a synchronous standby.'),
});

/** Newer statistics are not representative. */
const LEAST_STATISTICS_SECONDS = 600;
/** Used for the large transactions of docs/explanation/performance.md. */
const DECODING_BYTES = 256 * 1024 ** 2;
/** A server with this much shared_buffers has the memory. */
const AMPLE_BUFFER_BYTES = 1024 ** 3;

const source = {
  relations,
  wal: readWal,
  walLevel: value<string>(/* sql */ `select current_setting('wal_level')`),
  synchronousStandbys: value<string>(
    /* sql */ `select current_setting('synchronous_standby_names')`,
  ),
};
type Source = ServerFacts & Values<typeof source>;

export const wal = defineCheck({
  codes,
  source,
  find: ({ source: facts, endpoints }) => {
    if (facts === null) return [];

    return [
      facts.walLevel !== 'logical' &&
        error(
          'wal-level',
          `wal_level on the source is ${facts.walLevel}, but logical decoding needs logical`,
          "On the source: alter system set wal_level = 'logical'; then restart the server.",
        ),
      kept(facts),
      idle(facts.wal),
      standbys(facts.synchronousStandbys),
      decoding(facts, endpoints.source?.session.login),
    ];
  },
});

/** WAL written during the copy at the average rate so far. Null: unknown. */
function expectedWal({ written }: WalFacts, bytes: number) {
  const seconds = { fast: bytes / FAST_COPY, slow: bytes / SLOW_COPY };
  if (written === null || written.seconds < LEAST_STATISTICS_SECONDS) return null;
  const rate = written.bytes / written.seconds;
  return { rate, seconds, least: rate * seconds.fast, most: rate * seconds.slow };
}

function kept({ wal: facts, relations: selected }: Source): Found {
  const limit = facts.keepBytes;
  const copied = bytesOf(selected);
  const expected = expectedWal(facts, copied);
  const sentence =
    expected === null
      ? 'the amount is unknown (the server has no WAL statistics of ten minutes or more)'
      : `at ${size(expected.rate)}/s, the average since the last statistics reset, that is ${size(expected.least)} in ${span(expected.seconds.fast)} to ${size(expected.most)} in ${span(expected.seconds.slow)} (copying 100 to 20 MB/s)`;
  if (limit !== null) {
    const tooSmall = expected !== null && expected.least >= limit;
    return (tooSmall ? error : warning)(
      'wal-limit',
      `the source invalidates a slot that retains more than ${size(limit)} of WAL (max_slot_wal_keep_size), but all WAL written during the copy must be kept: ${sentence}`,
      "If that may exceed the limit, on the source: alter system set max_slot_wal_keep_size = '-1'; select pg_reload_conf(); and watch the disk.",
    );
  }
  const small =
    expected === null ? copied < WORTH_A_NOTE_BYTES : expected.most < WORTH_A_NOTE_BYTES;
  if (small) return [];
  return note(
    'wal-expected',
    `the source keeps all WAL written during the copy: ${sentence}`,
    'Check that its disk has that much free space (df on the directory pg_wal): SQL cannot show it. A bulk load during the copy adds to it.',
  );
}

/** From PostgreSQL 18 on: a migration that is paused or waits for the operator would lose its slot. */
function idle({ idleTimeoutSeconds: seconds }: WalFacts): Found {
  if (seconds === 0) return [];
  return warning(
    'slot-timeout',
    `the source invalidates slots that are idle for ${span(seconds)} (idle_replication_slot_timeout), but the slot is idle during the copy and while the migration is paused`,
    'On the source: alter system set idle_replication_slot_timeout = 0; select pg_reload_conf();',
  );
}

/** Only a note: the memory belongs to the production server. */
function decoding(
  { role, wal: { decodingBytes, bufferBytes } }: Source,
  // Role settings are those of the login, even if the session then switches to another role.
  login = role.name,
): Found {
  if (decodingBytes === null || decodingBytes >= DECODING_BYTES || bufferBytes < AMPLE_BUFFER_BYTES)
    return [];
  return note(
    'decoding-memory',
    `the source writes transactions of more than ${size(decodingBytes)} to files while it decodes them (logical_decoding_work_mem)`,
    `If the application has large transactions and the source has memory to spare, let walferry's sessions use more: alter role ${pg.escapeIdentifier(login)} set logical_decoding_work_mem = '256MB'.`,
  );
}

/** `*` is the only entry that matches the stream, whose name is unknown to the list. */
function standbys(names: string): Found {
  if (!names.includes('*')) return [];
  return warning(
    'synchronous-standbys',
    'synchronous_standby_names on the source contains *: if the stream becomes a synchronous standby, commits wait for the target and the stream ends (StandbyLoop)',
    'On the source, name the standbys instead of *: alter system set synchronous_standby_names = …; select pg_reload_conf();',
  );
}

interface WalFacts {
  /** `max_slot_wal_keep_size`; null if unlimited. */
  readonly keepBytes: number | null;
  /** WAL written since the last statistics reset; null before 14. */
  readonly written: { readonly bytes: number; readonly seconds: number } | null;
  /** `idle_replication_slot_timeout` (from 18 on); 0 if unlimited. */
  readonly idleTimeoutSeconds: number;
  /** `logical_decoding_work_mem` of our sessions: a larger transaction spills to disk on the source. Null: the server lacks it. */
  readonly decodingBytes: number | null;
  /** `shared_buffers`: the only sign of a server's memory in SQL. */
  readonly bufferBytes: number;
}

async function readWal({ client, server: { major } }: SourceReading): Promise<WalFacts> {
  const { rows } = await client.query<{
    keep: number | null;
    idle: number;
    decoding: number | null;
    buffers: number;
  }>(/* sql */ `
    select (select nullif(setting, '-1')::float8 * 1024 * 1024 from pg_catalog.pg_settings
             where name = 'max_slot_wal_keep_size') as keep,
           coalesce((select extract(epoch from current_setting('idle_replication_slot_timeout')::interval)
                       from pg_catalog.pg_settings
                      where name = 'idle_replication_slot_timeout' and setting <> '0'), 0)::float8 as idle,
           pg_catalog.pg_size_bytes(current_setting('logical_decoding_work_mem', true))::float8 as decoding,
           pg_catalog.pg_size_bytes(current_setting('shared_buffers'))::float8 as buffers`);
  let written: WalFacts['written'] = null;
  if (major >= 14) {
    const found = await client.query<{ bytes: number; seconds: number }>(/* sql */ `
      select wal_bytes::float8 as bytes,
             extract(epoch from clock_timestamp() - stats_reset)::float8 as seconds
        from pg_catalog.pg_stat_wal where stats_reset is not null`);
    written = found.rows[0] ?? null;
  }
  const [row] = rows;
  return {
    keepBytes: row?.keep ?? null,
    idleTimeoutSeconds: row?.idle ?? 0,
    decodingBytes: row?.decoding ?? null,
    bufferBytes: row?.buffers ?? 0,
    written,
  };
}
