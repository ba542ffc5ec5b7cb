/** What a stored position passes: transactions that are applied, and those of which every change is left out. */
import { expect, test } from 'vitest';
import { parseLsn } from '../../contract/lsn.ts';
import { Gathering } from '../../postgres/stream/batch.ts';

const limits = { changes: 3, bytes: 1_000_000, age: 1_000 };
const end = parseLsn('0/20');
const relation = { schema: 's', name: 't', key: ['id'], full: false, columns: [] };
const insert = { kind: 'insert' as const, relation, columns: [], lsn: end, xid: 8 };
const of = (xid: number) => ({ xid, bytes: 10, committedAt: null });

test('a batch names every transaction that it passes, applied or not, and the next begins without them', () => {
  const gathering = new Gathering(limits);
  expect(gathering.untouched).toBe(true);
  gathering.add([], of(7), 0);
  expect(gathering).toMatchObject({ empty: true, untouched: false });
  gathering.add([insert], of(8), 0);
  const batch = gathering.seal(end);
  expect(batch).toMatchObject({ changes: [insert], transactions: 1, end });
  expect(batch.xids).toEqual(new Set([7, 8]));
  expect(gathering.untouched).toBe(true);
  expect(gathering.seal(end).xids).toEqual(new Set());
});

test('transactions that are left out fill a batch, so that a position is stored before their number grows on', () => {
  const gathering = new Gathering(limits);
  for (const xid of [1, 2]) gathering.add([], of(xid), 0);
  expect(gathering.full).toBe(false);
  gathering.add([], of(3), 0);
  expect(gathering.full).toBe(true);
});

test('a batch is full when its changes are of as many tables as one transaction may lock', () => {
  const gathering = new Gathering({ ...limits, changes: 1_000, tables: 2 });
  const other = { ...relation, name: 'u' };
  gathering.add([insert, insert], of(8), 0);
  expect(gathering.full).toBe(false);
  gathering.add([{ ...insert, relation: other }], of(9), 0);
  expect(gathering.full).toBe(true);
  gathering.seal(end);
  gathering.add([{ kind: 'truncate', relations: [relation, other], lsn: end, xid: 10 }], of(10), 0);
  expect(gathering.full).toBe(true);
});
