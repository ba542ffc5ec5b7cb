/**
 * Ensures that what was read on the source is durable there. With `synchronous_commit = off`, changes are visible before they are
 * flushed; after a crash they never happened, and their transaction ids are reused. So the target records nothing that was read
 * before the source has flushed its WAL beyond it.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { isLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { messagePrefix } from '../wal2json/plugin-options.ts';
import { inTransaction } from '../connection/in-transaction.ts';

/** A logical message that the stream receives at exactly this LSN, and only in this history. */
export interface Mark {
  /** End of the message's record. */
  readonly lsn: Lsn;
  readonly nonce: string;
}

/**
 * Writes a mark and flushes it, together with everything that any session could see before the call. Its transaction takes an id,
 * so that no lower id can be reused.
 * @param source a session without an open transaction.
 * @throws MigrationError `Internal` when the server reports that it has not flushed what it committed.
 */
export async function writeMark(
  source: pg.ClientBase,
  migration: Migration,
): Promise<Mark & { readonly xid: bigint }> {
  const nonce = randomUUID();
  const { lsn, xid } = await inTransaction(source, async () => {
    // `on` would wait for a synchronous standby, which may be down for long. If a failover loses the mark, its absence shows
    // that.
    await source.query(/* sql */ `set local synchronous_commit = local`);
    // Not transactional: the stream delivers it exactly at its position between the commits.
    const { rows } = await source.query<{ lsn: string; xid: string }>(
      /* sql */ `
      select pg_catalog.pg_logical_emit_message(false, $1, $2)::text as lsn,
             pg_catalog.pg_current_xact_id()::text as xid`,
      [messagePrefix(migration), JSON.stringify({ kind: 'mark', migration: migration.id, nonce })],
    );
    return { lsn: rows[0]?.lsn, xid: BigInt(rows[0]?.xid ?? 0) };
  });
  if (!isLsn(lsn)) throw new MigrationError('Internal', 'the source returned no LSN for a mark');
  await requireFlush(source, lsn);
  return { lsn, nonce, xid };
}

/** The nonce in a message's content; null for any other message. */
export function nonceOf(content: string): string | null {
  try {
    const parsed: unknown = JSON.parse(content);
    if (typeof parsed !== 'object' || parsed === null || !('nonce' in parsed)) return null;
    return typeof parsed.nonce === 'string' ? parsed.nonce : null;
  } catch {
    return null;
  }
}

/**
 * Returns when everything that this session has seen so far is flushed. Writes nothing if it already is.
 * @param source a session without an open transaction.
 */
export async function flushSeen(source: pg.ClientBase, migration: Migration): Promise<void> {
  const { rows } = await source.query<{ flushed: boolean }>(/* sql */ `
    select pg_catalog.pg_current_wal_insert_lsn() <= pg_catalog.pg_current_wal_flush_lsn() as flushed`);
  if (rows[0]?.flushed !== true) await writeMark(source, migration);
}

async function requireFlush(source: pg.ClientBase, lsn: Lsn): Promise<void> {
  const { rows } = await source.query<{ flushed: boolean }>(
    /* sql */ `select pg_catalog.pg_current_wal_flush_lsn() >= $1::pg_lsn as flushed`,
    [lsn],
  );
  if (rows[0]?.flushed === true) return;
  throw new MigrationError(
    'Internal',
    `the source committed a message at ${lsn} but did not flush it`,
    { lsn },
  );
}
