import { expect, test } from 'vitest';
import { formatLsn, type Lsn } from '../../contract/lsn.ts';
import { Assembler, type Piece } from '../../postgres/replication/assemble.ts';
import type { WalMessage } from '../../postgres/wal2json/message.ts';

const at = (n: number): Lsn => formatLsn(BigInt(n));
const begin = (xid: number, lsn: number): WalMessage => ({
  action: 'B',
  xid,
  lsn: at(lsn),
  timestamp: null,
});
const commit = (xid: number, lsn: number): WalMessage => ({
  action: 'C',
  xid,
  lsn: at(lsn),
  nextlsn: at(lsn + 8),
  timestamp: null,
});
const insert = (xid: number, n = 0): WalMessage => ({
  action: 'I',
  xid,
  lsn: at(n),
  schema: 's',
  table: 't',
  columns: [{ name: 'n', value: String(n) }],
  identity: [],
});
const truncate = (xid: number, lsn: number, table: string): WalMessage => ({
  action: 'T',
  xid,
  lsn: at(lsn),
  schema: 's',
  table,
});

function feed(assembler: Assembler, messages: readonly WalMessage[], bytes = 10): Piece[] {
  return messages.flatMap((m) => assembler.push(m, bytes) ?? []);
}

const LIMITS = { changes: 3, bytes: 1000 };

test('a transaction comes out whole at its commit', () => {
  const pieces = feed(new Assembler(at(0), LIMITS), [
    begin(1, 100),
    insert(1),
    insert(1),
    commit(1, 100),
  ]);
  expect(pieces).toHaveLength(1);
  expect(pieces[0]).toMatchObject({ first: true, end: { nextLsn: at(108) }, bytes: 20 });
});

test('what began to commit before the start is dropped, what commits exactly there is not', () => {
  const pieces = feed(new Assembler(at(100), LIMITS), [
    begin(1, 99),
    insert(1),
    insert(1),
    insert(1),
    insert(1),
    commit(1, 99),
    begin(2, 100),
    insert(2),
    commit(2, 100),
  ]);
  expect(pieces.map((p) => p.xid)).toEqual([2]);
});

test('a huge transaction comes in pieces, by changes and by bytes, and only the last one ends it', () => {
  const many = [
    begin(1, 100),
    ...Array.from({ length: 7 }, (_, i) => insert(1, i)),
    commit(1, 100),
  ];
  const pieces = feed(new Assembler(at(0), LIMITS), many);
  expect(pieces.map((p) => p.messages.length)).toEqual([3, 3, 1]);
  expect(pieces.map((p) => p.first)).toEqual([true, false, false]);
  expect(pieces.map((p) => p.end !== null)).toEqual([false, false, true]);
  const order = pieces.flatMap((p) =>
    p.messages.map((m) => ('columns' in m ? m.columns[0]?.value : '')),
  );
  expect(order).toEqual(['0', '1', '2', '3', '4', '5', '6']);

  const wide = feed(new Assembler(at(0), LIMITS), many, 600);
  expect(wide.map((p) => p.messages.length)).toEqual([1, 1, 1, 1, 1, 1, 1]);
});

test('the tables of one TRUNCATE stay together, those of the next one need not', () => {
  const pieces = feed(new Assembler(at(0), LIMITS), [
    begin(1, 100),
    insert(1),
    insert(1),
    truncate(1, 50, 'a'),
    truncate(1, 50, 'b'),
    truncate(1, 50, 'c'),
    truncate(1, 60, 'd'),
    commit(1, 100),
  ]);
  expect(pieces.map((p) => p.messages.length)).toEqual([5, 1]);
});

test('an empty transaction still moves the position', () => {
  const [piece] = feed(new Assembler(at(0), LIMITS), [begin(1, 100), commit(1, 100)]);
  expect(piece).toMatchObject({ messages: [], end: { nextLsn: at(108) } });
});

test('messages that form no transaction stop the stream', () => {
  const bad: WalMessage[][] = [
    [insert(1)],
    [commit(1, 100)],
    [begin(1, 100), begin(2, 200)],
    [begin(1, 100), insert(2)],
    [begin(1, 100), commit(1, 101)],
  ];
  for (const messages of bad) {
    expect(() => feed(new Assembler(at(0), LIMITS), messages)).toThrow(
      expect.objectContaining({ code: 'StreamMalformed' }),
    );
  }
});
