/**
 * The source's WAL can be decoded, and the source keeps it until it is read. The slot is not read during the copy, so exceeding a
 * limit in hour one is noticed in hour ten.
 *
 * SQL shows the bytes to copy, the WAL written since the last statistics reset, and the limit. It does not show how fast the copy
 * will be, what the application will write, and how much disk space is free.
 */
import pg from 'pg';
import type { Finding } from '../../../contract/finding.ts';
import type { Check, SourceFacts } from '../facts.ts';
import { error, note, size, span, warning } from '../wording.ts';

/** Bytes per second of all streams together: a slow network and fast machines. */
export const SLOW_COPY = 20e6;
const FAST_COPY = 100e6;
/** Newer statistics are not representative. */
const LEAST_STATISTICS_SECONDS = 600;
/** Used for the large transactions of docs/explanation/performance.md. */
const DECODING_BYTES = 256 * 1024 ** 2;
/** A server with this much shared_buffers has the memory. */
const AMPLE_BUFFER_BYTES = 1024 ** 3;
/** Less than this endangers no disk. */
const WORTH_A_NOTE_BYTES = 1024 ** 3;

export const wal: Check = ({ source, endpoints }) => {
  if (source === null) return [];
  const findings: Finding[] = [];
  if (source.walLevel !== 'logical') {
    findings.push(
      error(
        'wal-level',
        `wal_level on the source is ${source.walLevel}, but logical decoding needs logical`,
        "On the source: alter system set wal_level = 'logical'; then restart the server.",
      ),
    );
  }
  return [
    ...findings,
    ...kept(source),
    ...idle(source),
    ...standbys(source),
    ...decoding(source, endpoints.source?.session.login),
  ];
};

/** WAL written during the copy at the average rate so far. Null: unknown. */
function expectedWal({ wal: { written }, relations }: SourceFacts) {
  const bytes = relations.reduce((sum, one) => sum + one.bytes, 0);
  const seconds = { fast: bytes / FAST_COPY, slow: bytes / SLOW_COPY };
  if (written === null || written.seconds < LEAST_STATISTICS_SECONDS) return null;
  const rate = written.bytes / written.seconds;
  return { rate, seconds, least: rate * seconds.fast, most: rate * seconds.slow };
}

function kept(source: SourceFacts): Finding[] {
  const limit = source.wal.keepBytes;
  const expected = expectedWal(source);
  const sentence =
    expected === null
      ? 'the amount is unknown (the server has no WAL statistics of ten minutes or more)'
      : `at ${size(expected.rate)}/s, the average since the last statistics reset, that is ${size(expected.least)} in ${span(expected.seconds.fast)} to ${size(expected.most)} in ${span(expected.seconds.slow)} (copying 100 to 20 MB/s)`;
  if (limit !== null) {
    const tooSmall = expected !== null && expected.least >= limit;
    return [
      (tooSmall ? error : warning)(
        'wal-limit',
        `the source invalidates a slot that retains more than ${size(limit)} of WAL (max_slot_wal_keep_size), but all WAL written during the copy must be kept: ${sentence}`,
        "If that may exceed the limit, on the source: alter system set max_slot_wal_keep_size = '-1'; select pg_reload_conf(); and watch the disk.",
      ),
    ];
  }
  const copied = source.relations.reduce((sum, one) => sum + one.bytes, 0);
  const small =
    expected === null ? copied < WORTH_A_NOTE_BYTES : expected.most < WORTH_A_NOTE_BYTES;
  if (small) return [];
  return [
    note(
      'wal-expected',
      `the source keeps all WAL written during the copy: ${sentence}`,
      'Check that its disk has that much free space (df on the directory pg_wal): SQL cannot show it. A bulk load during the copy adds to it.',
    ),
  ];
}

/** From PostgreSQL 18 on: a migration that is paused or waits for the operator would lose its slot. */
function idle({ wal: { idleTimeoutSeconds: seconds } }: SourceFacts): Finding[] {
  if (seconds === 0) return [];
  return [
    warning(
      'slot-timeout',
      `the source invalidates slots that are idle for ${span(seconds)} (idle_replication_slot_timeout), but the slot is idle during the copy and while the migration is paused`,
      'On the source: alter system set idle_replication_slot_timeout = 0; select pg_reload_conf();',
    ),
  ];
}

/** Only a note: the memory belongs to the production server. */
function decoding(
  { role, wal: { decodingBytes, bufferBytes } }: SourceFacts,
  // Role settings are those of the login, even if the session then switches to another role.
  login = role.name,
): Finding[] {
  if (decodingBytes === null || decodingBytes >= DECODING_BYTES || bufferBytes < AMPLE_BUFFER_BYTES)
    return [];
  return [
    note(
      'decoding-memory',
      `the source writes transactions of more than ${size(decodingBytes)} to files while it decodes them (logical_decoding_work_mem)`,
      `If the application has large transactions and the source has memory to spare, let walferry's sessions use more: alter role ${pg.escapeIdentifier(login)} set logical_decoding_work_mem = '256MB'.`,
    ),
  ];
}

/** `*` is the only entry that matches the stream, whose name is unknown to the list. */
function standbys({ synchronousStandbys: names }: SourceFacts): Finding[] {
  if (!names.includes('*')) return [];
  return [
    warning(
      'synchronous-standbys',
      'synchronous_standby_names on the source contains *: if the stream becomes a synchronous standby, commits wait for the target and the stream ends (StandbyLoop)',
      'On the source, name the standbys instead of *: alter system set synchronous_standby_names = …; select pg_reload_conf();',
    ),
  ];
}
