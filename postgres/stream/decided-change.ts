/** What becomes of the changes of a transaction on the exact path. */
import type { Change } from '../apply/change.ts';
import { changesOf } from '../drift/mapped-change.ts';
import type { ArrivingTransaction } from './arriving-transaction.ts';
import type { GatheringParts } from './gathering-parts.ts';

/** Decides the changes on the exact path, which are no longer pending afterwards. */
export async function decideExact(
  open: ArrivingTransaction,
  { mappings, newest, settle, emptied }: GatheringParts,
): Promise<Change[]> {
  if (open.messages.length === 0) return [];
  const piece = { xid: open.xid, commitLsn: open.lsn, messages: open.messages };
  let changes = changesOf(piece, mappings, newest);
  while (!Array.isArray(changes)) {
    await settle(changes);
    changes = changesOf(piece, mappings, newest);
  }
  if (changes.some(({ kind }) => kind === 'truncate')) {
    for (const { action, schema, table } of open.messages) {
      if (action === 'T') emptied({ schema, name: table }, open.xid);
    }
  }
  open.messages = [];
  return changes;
}
