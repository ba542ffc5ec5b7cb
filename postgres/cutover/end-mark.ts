/**
 * The end mark: a transactional logical message in the source's WAL. Everything that was committed before it has its
 * commit record before it.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { isLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CutoverCall } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { addMissingColumns } from '../control/columns.ts';
import { noteCutoverCall } from '../control/cutover-call.ts';
import { connectSource, connectTarget } from '../identity/connect.ts';
import { messagePrefix } from '../wal2json/options.ts';

/**
 * Writes an end mark and returns the end of its message record, M.
 *
 * Why draining to M covers every commit that returned before this call: their commit records were inserted before the
 * message, so they start before M; a stream whose confirmed LSN is at or after M has applied every transaction whose
 * commit record starts before M. And why a stream gets there at once, also on an idle source: the mark's own commit
 * record follows the message, so its end (`C.nextlsn`, the next position to be confirmed) is greater than M.
 *
 * `synchronous_commit = on` because decoding stops at the flush position: the mark's flush takes everything before it
 * along, including commits that returned unflushed.
 * @param signal cuts the session: a source that hangs must not keep a cutover from being called off.
 * @param call who asks; undefined: no one who could have asked before.
 * @throws MigrationError `Unreachable`, `Denied`; `CutoverRepeated`, before anything is written, when another run has begun this call.
 */
export async function writeEndMark(
  migration: Migration,
  signal?: AbortSignal,
  call?: CutoverCall,
): Promise<Lsn> {
  if (call) await beginCall(migration, call, signal);
  try {
    await using source = await connectSource(migration, 'cutover', { ...(signal && { signal }) });
    return await markPosition(source, migration);
  } catch (error) {
    throw classify(error, { step: 'writing the end mark', side: 'source' }, 'Internal');
  }
}

async function beginCall(
  migration: Migration,
  call: CutoverCall,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await using target = await connectTarget(migration, 'cutover', { ...(signal && { signal }) });
    // A migration of earlier code has no place for it yet.
    await addMissingColumns(target);
    await noteCutoverCall(target, migration, call);
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: 'noting who asked for the cutover', side: 'target' }, 'Internal');
  }
}

/** Writes a mark over an open session of the source; see {@link writeEndMark}. */
export async function markPosition(source: pg.ClientBase, migration: Migration): Promise<Lsn> {
  return (await markTransaction(source, migration)).lsn;
}

/**
 * As {@link markPosition}, with the transaction that wrote the mark.
 * @returns `xid`, with its epoch.
 */
export async function markTransaction(
  source: pg.ClientBase,
  migration: Migration,
): Promise<{ readonly lsn: Lsn; readonly xid: bigint }> {
  await source.query(/* sql */ `set synchronous_commit = on`);
  const { rows } = await source.query<{ lsn: string; xid: string }>(
    /* sql */ `select pg_catalog.pg_logical_emit_message(true, $1, $2)::text as lsn,
                      pg_catalog.pg_current_xact_id()::text as xid`,
    [
      messagePrefix(migration),
      JSON.stringify({ kind: 'end mark', migration: migration.id, nonce: randomUUID() }),
    ],
  );
  const { lsn, xid = '' } = rows[0] ?? {};
  if (!isLsn(lsn))
    throw new MigrationError('Internal', 'the source gave no position of the end mark');
  return { lsn, xid: BigInt(xid) };
}
