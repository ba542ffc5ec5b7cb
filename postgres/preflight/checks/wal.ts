/**
 * The source writes a WAL that can be decoded, and keeps it until it was read. The slot is not read during the copy: a limit
 * that is met in hour one is noticed in hour ten.
 *
 * What SQL knows: the bytes to copy, the WAL written since the statistics began, and the limit. What it does not know: how fast
 * this copy will be, what the application will write, and how much disk is free.
 */
import pg from 'pg';
import type { Finding } from '../../../contract/finding.ts';
import type { Check, SourceFacts } from '../facts.ts';
import { error, note, size, span, warning } from '../wording.ts';

/** Bytes a second, all lanes together: between a slow network and fast machines. */
export const SLOW_COPY = 20e6;
const FAST_COPY = 100e6;
/** Statistics of a server that was just started say nothing about its day. */
const LEAST_STATISTICS_SECONDS = 600;
/** With this the large transactions of docs/performance.md were measured. */
const DECODING_BYTES = 256 * 1024 ** 2;
/** A server with that many buffers has the memory. */
const AMPLE_BUFFER_BYTES = 1024 ** 3;
/** Below this nobody's disk is in danger. */
const WORTH_A_NOTE_BYTES = 1024 ** 3;

export const wal: Check = ({ source, endpoints }) => {
  if (source === null) return [];
  const findings: Finding[] = [];
  if (source.walLevel !== 'logical') {
    findings.push(
      error(
        'wal-level',
        `wal_level on the source is ${source.walLevel}, and changes can be read only with logical`,
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

/** WAL while the copy runs, if the application goes on as it did on average. Null: not known. */
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
      ? 'how much that will be is not known (the server has no WAL statistics of ten minutes or more)'
      : `at ${size(expected.rate)}/s, the average since the statistics began, that is ${size(expected.least)} in ${span(expected.seconds.fast)} to ${size(expected.most)} in ${span(expected.seconds.slow)} (copying 100 to 20 MB/s)`;
  if (limit !== null) {
    const tooSmall = expected !== null && expected.least >= limit;
    return [
      (tooSmall ? error : warning)(
        'wal-limit',
        `the source drops a slot that keeps more than ${size(limit)} of WAL (max_slot_wal_keep_size), and all WAL of the copy is kept: ${sentence}`,
        "If the copy may write more: alter system set max_slot_wal_keep_size = '-1'; select pg_reload_conf(); and watch the disk.",
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
      `the source keeps all WAL of the copy: ${sentence}`,
      'Look whether its disk has that much free (df on the folder pg_wal): SQL cannot tell. A bulk load during the copy adds to it.',
    ),
  ];
}

/** From PostgreSQL 18 on: a migration that is paused or waits for its operator would lose its slot. */
function idle({ wal: { idleTimeoutSeconds: seconds } }: SourceFacts): Finding[] {
  if (seconds === 0) return [];
  return [
    warning(
      'slot-timeout',
      `the source drops slots that nobody reads for ${span(seconds)} (idle_replication_slot_timeout); the slot is not read during the copy, nor while the migration is paused`,
      'On the source: alter system set idle_replication_slot_timeout = 0; select pg_reload_conf();',
    ),
  ];
}

/** Only advice: it is memory of the server that the business runs on. */
function decoding(
  { role, wal: { decodingBytes, bufferBytes } }: SourceFacts,
  // Settings of a role count for who logs in, also where the session then becomes another one.
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

/** A name escapes every entry of the list but this one. */
function standbys({ synchronousStandbys: names }: SourceFacts): Finding[] {
  if (!names.includes('*')) return [];
  return [
    warning(
      'synchronous-standbys',
      'synchronous_standby_names on the source has a *: where the stream gets a place among its synchronous standbys, commits wait for the target, and the stream ends (StandbyLoop)',
      'On the source name the standbys instead of *: alter system set synchronous_standby_names = …; select pg_reload_conf();',
    ),
  ];
}
