/**
 * Verifies the server of the replication connection before the stream starts: it is a separate session, and a server accepts any
 * start LSN, also one from another history.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, parseLsn } from '../../contract/lsn.ts';
import { readIdentity, isSame, wrongServer } from '../identity/identity.ts';
import type { ReaderOptions } from './reader-options.ts';

/**
 * Refuses another server, or one whose WAL ends before the start LSN.
 * @throws MigrationError `WrongServer`, `SourceRewound`; `Unreachable` when the server was promoted after the lease's other
 *   session checked it: the next lease checks again.
 */
export async function recognize(
  walsender: pg.ClientBase,
  { service, server, slot, start }: Pick<ReaderOptions, 'service' | 'server' | 'slot' | 'start'>,
): Promise<void> {
  // A walsender that is connected to a database also runs SQL. Decoding reads only up to the flush position.
  const identity = await readIdentity(walsender, service);
  if (server !== null && !isSame(identity, server)) {
    throw wrongServer('source', service, identity, server);
  }
  if (server !== null && identity.timeline !== server.timeline) {
    throw new MigrationError(
      'Unreachable',
      `the source "${service}" switched from timeline ${server.timeline} to ${identity.timeline} while the stream was starting`,
      { slot },
    );
  }
  const { rows } = await walsender.query<{ flushed: string }>(
    /* sql */ `select pg_catalog.pg_current_wal_flush_lsn()::text as flushed`,
  );
  const flushed = parseLsn(rows[0]?.flushed ?? '');
  if (compareLsn(flushed, start) >= 0) return;
  throw new MigrationError(
    'SourceRewound',
    `the WAL of the source "${service}" ends at ${flushed}, before the stream's start ${start}`,
    { slot, lsn: start },
  );
}
