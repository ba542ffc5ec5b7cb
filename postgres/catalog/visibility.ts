/**
 * The filter that joins copy and stream without gap or overlap. Pure. A table's copy has the rows that its exported snapshot
 * sees; the stream must skip exactly the changes of transactions that are visible there, and apply all others.
 *
 * Correct only for a snapshot taken after the xid barrier (its xmin is not below a transaction id that was assigned when the slot
 * was ready): every transaction that the slot does not deliver has ended before it.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';

export interface ExportedSnapshot {
  readonly number: number;
  /** All transactions below had ended when the snapshot was taken. 64-bit, with epoch. */
  readonly xmin: bigint;
  /** The latest transaction id that had ended, plus one: an open one may have it. */
  readonly xmax: bigint;
  /** Transactions from xmin to below xmax that were in progress. */
  readonly xip: ReadonlySet<bigint>;
  /** A transaction whose commit record starts at or after this position is not visible. */
  readonly lsn: Lsn;
}

/**
 * The 64-bit id of a transaction that the plugin prints with 32 bits: the one nearest to `xmax`, below or above. Ids in use at
 * the same time are less than 2^31 apart, so it is unique.
 * @param xid32 0 to 2^32 - 1.
 */
export function widenXid(xid32: number, xmax: bigint): bigint {
  return xmax + BigInt.asIntN(32, BigInt(xid32) - xmax);
}

/** Whether rows copied under the snapshot contain the effects of the (committed, top-level) transaction. */
export function isVisible(
  xid32: number,
  snapshot: Pick<ExportedSnapshot, 'xmin' | 'xmax' | 'xip'>,
): boolean {
  const xid = widenXid(xid32, snapshot.xmax);
  if (xid < snapshot.xmin) return true;
  return xid < snapshot.xmax && !snapshot.xip.has(xid);
}

/** The highest LSN of the snapshots: past it the stream filters no changes. */
export function filterEnd(snapshots: readonly ExportedSnapshot[]): Lsn | null {
  let end: Lsn | null = null;
  for (const { lsn } of snapshots) {
    if (end === null || compareLsn(lsn, end) > 0) end = lsn;
  }
  return end;
}

/**
 * Reads `pg_current_snapshot()`: `xmin:xmax:xip,xip,…`.
 * @throws RangeError for anything else.
 */
export function parseSnapshot(text: string): Pick<ExportedSnapshot, 'xmin' | 'xmax' | 'xip'> {
  const match = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  const [xmin, xmax, list] = [match?.[1], match?.[2], match?.[3]];
  if (xmin === undefined || xmax === undefined || list === undefined) {
    throw new RangeError('not a snapshot');
  }
  const xip = list === '' ? [] : list.split(',').map(BigInt);
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), xip: new Set(xip) };
}
