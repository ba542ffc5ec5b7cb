/** The end mark: a transactional logical message in the source's WAL. The commit record of every earlier commit precedes it. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { isLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CutoverCall } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { noteCutoverCall } from '../store/cutover-call.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { messagePrefix } from '../wal2json/plugin-options.ts';

/**
 * Writes an end mark and returns the end of its message record, M.
 *
 * Draining to M covers every commit that returned before this call: their commit records were inserted before the message, so
 * they start before M, and a stream whose confirmed LSN is at or after M has applied every transaction whose commit record starts
 * before M. A stream gets there at once, even on an idle source: the mark's commit record follows the message, so its end
 * (`C.nextlsn`, the next position to be confirmed) is greater than M.
 *
 * Not `synchronous_commit = off`, because decoding stops at the flush position: the mark's flush includes everything before it, even
 * commits that returned unflushed.
 * @param signal cuts the session: a hanging source must not prevent cancelling the cutover.
 * @param call the update that requests the cutover; undefined for callers that cannot be repeated by a reset.
 * @throws MigrationError `Unreachable`, `Denied`; `CutoverRepeated`, before anything is written, when another run started it.
 */
export async function writeEndMark(
  migration: Migration,
  signal?: AbortSignal,
  call?: CutoverCall,
): Promise<Lsn> {
  if (call) await beginCall(migration, call, signal);
  try {
    await using source = await connectSource(migration, 'cutover', { ...(signal && { signal }) });
    return await markPosition(source, migration, 'on');
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
    await noteCutoverCall(target, migration, call);
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: 'recording the cutover request', side: 'target' }, 'Internal');
  }
}

/**
 * What the commit of a mark waits for; both flush it. The marks of a cutover wait for a synchronous standby (`on`): what precedes
 * them, the fence itself, must survive a failover. Those of a lease do not (`local`): the standby may be away for long, and a
 * failover that loses such a mark ends every transaction that it was to follow.
 */
export type MarkCommit = 'on' | 'local';

/** Writes a mark through an open session of the source; see {@link writeEndMark}. */
export async function markPosition(
  source: pg.ClientBase,
  migration: Migration,
  commit: MarkCommit,
): Promise<Lsn> {
  return (await markTransaction(source, migration, commit)).lsn;
}

/**
 * Like {@link markPosition}, but also returns the transaction that wrote the mark.
 * @returns `xid` includes the epoch.
 */
export async function markTransaction(
  source: pg.ClientBase,
  migration: Migration,
  commit: MarkCommit,
): Promise<{ readonly lsn: Lsn; readonly xid: bigint }> {
  await source.query(/* sql */ `set synchronous_commit = ${commit}`);
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
    throw new MigrationError('Internal', 'the source returned no position for the end mark');
  return { lsn, xid: BigInt(xid) };
}
