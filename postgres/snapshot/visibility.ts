/**
 * The filter that makes copy and stream meet exactly. Pure. A table's rows are those that its generation's snapshot sees; the
 * stream must skip exactly the changes of transactions that are visible there, and apply all others.
 *
 * Sound only for a snapshot taken behind the gate (its xmin is not below a transaction id that was given out when the slot was
 * ready): everything that the slot does not deliver has ended before it.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';

export interface ExportedSnapshot {
  readonly number: number;
  /** Every transaction below has ended when the snapshot was taken. 64-bit, with epoch. */
  readonly xmin: bigint;
  /** First transaction id not given out yet. */
  readonly xmax: bigint;
  /** Those from xmin to below xmax that were in progress. */
  readonly xip: ReadonlySet<bigint>;
  /** A transaction whose commit record starts at or after this position is not visible. */
  readonly lsn: Lsn;
}

/**
 * The 64-bit id of a transaction that the plugin prints with 32 bits: the one nearest to `xmax`, below or above it. Ids that are
 * alive at the same time are less than 2^31 apart, so there is just one.
 * @param xid32 0 to 2^32 - 1.
 */
export function widenXid(xid32: number, xmax: bigint): bigint {
  return xmax + BigInt.asIntN(32, BigInt(xid32) - xmax);
}

/** Whether the generation's rows contain the effects of the (committed, top-level) transaction. */
export function isVisible(
  xid32: number,
  pass: Pick<ExportedSnapshot, 'xmin' | 'xmax' | 'xip'>,
): boolean {
  const xid = widenXid(xid32, pass.xmax);
  if (xid < pass.xmin) return true;
  return xid < pass.xmax && !pass.xip.has(xid);
}

/** The newest position of the generations: once the stream has passed it, no change is filtered any more. */
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
