/** A change that the source did not send, or that cannot be decoded. */
import type { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Unsettled } from '../drift/table-mapping.ts';
import { warningFailure } from '../replication/stream-failure.ts';
import type { Open } from './arriving-transaction.ts';
import type { LoopParts } from './loop-parts.ts';

export type ChangedTable = Pick<Unsettled, 'schema' | 'table'>;

/**
 * It does no harm if the copy includes the change or the table is not moved. Otherwise the stream ends.
 * @param open the transaction that the change belongs to.
 * @param position everything that commits before it was received.
 * @param failure why the change cannot be decoded; unset: it was not sent.
 */
export async function settleMissing(
  { mappings, newest, settle, missed, doubt }: LoopParts,
  { schema, table }: ChangedTable,
  open: Open | null,
  position: Lsn,
  failure?: MigrationError,
): Promise<void> {
  // Outside of a transaction it is unknown which changes are missing.
  if (open === null) throw failure ?? warningFailure('01000', position, `${schema}.${table}`);
  const where = { schema, table, commitLsn: open.lsn, xid: open.xid };
  doubt?.met({ schema, name: table }, { lsn: null, ...where });
  if (open.known) return;
  let mapping = mappings.get(schema, table);
  if (mapping === undefined) {
    await settle(where);
    mapping = mappings.get(schema, table);
  }
  if (mapping === null) {
    mappings.meet(schema, table);
    return;
  }
  const mayBeCopied = newest !== null && compareLsn(open.lsn, newest) < 0;
  if (mapping !== undefined && mayBeCopied && mapping.copied(open.xid, open.lsn)) return;
  if (failure) throw failure;
  await missed(where);
}
