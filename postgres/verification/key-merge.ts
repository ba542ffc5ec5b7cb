/** Merges the keys of both sides, each ordered by key, to those that differ. Constant memory; pure. */
import type { DifferenceKind } from '../store/verification-difference.ts';

/** A row: its key's text (or, without a key, its hash) and the hash of the whole row. */
export interface KeyRow {
  readonly key: string;
  readonly hash: string;
}

export interface KeyDifference {
  readonly key: string;
  readonly kind: DifferenceKind;
  readonly sourceRows: number;
  readonly targetRows: number;
}

/** Keys with different rows, or a different number of them: several rows of one key count as often as they occur. */
export async function* mergeKeys(
  source: AsyncIterable<KeyRow>,
  target: AsyncIterable<KeyRow>,
): AsyncGenerator<KeyDifference> {
  const [here, there] = [groups(source), groups(target)];
  let [left, right] = [await next(here), await next(there)];
  while (left || right) {
    const order = left && right ? compareBytes(left.key, right.key) : left ? -1 : 1;
    const difference = differenceOf(order <= 0 ? left : undefined, order >= 0 ? right : undefined);
    if (difference) yield difference;
    if (order <= 0) left = await next(here);
    if (order >= 0) right = await next(there);
  }
}

interface Group {
  readonly key: string;
  readonly hashes: string[];
}

async function* groups(rows: AsyncIterable<KeyRow>): AsyncGenerator<Group, undefined> {
  let group: Group = { key: '', hashes: [] };
  for await (const { key, hash } of rows) {
    if (group.key !== key) {
      if (group.hashes.length > 0) yield group;
      group = { key, hashes: [] };
    }
    group.hashes.push(hash);
  }
  if (group.hashes.length > 0) yield group;
}

async function next(rows: AsyncGenerator<Group, undefined>): Promise<Group | undefined> {
  return (await rows.next()).value;
}

function differenceOf(source?: Group, target?: Group): KeyDifference | null {
  const key = source?.key ?? target?.key ?? '';
  const [here, there] = [source?.hashes ?? [], target?.hashes ?? []];
  const counts = { key, sourceRows: here.length, targetRows: there.length };
  if (here.length > there.length) return { ...counts, kind: 'missing' };
  if (here.length < there.length) return { ...counts, kind: 'extra' };
  const same = [...here].sort().join() === [...there].sort().join();
  return same ? null : { ...counts, kind: 'different' };
}

/** As the servers order under collation "C". */
function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}
