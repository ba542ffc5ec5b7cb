/**
 * Batches: whole transactions, pieces of huge ones, and lines that are read again when a batch has to end before
 * them.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { formatLsn, type Lsn } from '../../contract/lsn.ts';
import type { PlannedRelation } from '../../postgres/apply/change.ts';
import { DELETE, INSERT, UPDATE } from '../../postgres/apply/row-records.ts';
import { Line } from '../../postgres/replication/line-store.ts';
import { decodeMessage } from '../../postgres/wal2json/decode.ts';
import { HeadReader } from '../../postgres/wal2json/head.ts';
import type { Batch } from '../../postgres/apply/batch.ts';
import { TableMappings, type TableMapping } from '../../postgres/drift/table-mapping.ts';
import { Gathering } from '../../postgres/stream/gathering.ts';
import type { GatheringParts } from '../../postgres/stream/gathering-parts.ts';

const at = (n: number): Lsn => formatLsn(BigInt(n));

function relationOf(name: string, key: readonly string[] | null): PlannedRelation {
  const column = (of: string) => ({
    ...{ name: of, typeName: 'integer', baseTypeName: 'integer' },
    ...{ notNull: true, generated: false, identity: '' as const },
  });
  return { schema: 's', name, key, full: false, columns: [column('id'), column('v')] };
}

function mappingOf(name: string, key: readonly string[] | null = ['id']): TableMapping {
  const column = (of: string, attnum: number) => ({
    ...{ name: of, attnum, typeOid: 23, typmod: -1 },
    ...{ generated: '', version: '1', missing: null, varying: false },
  });
  return {
    relation: relationOf(name, key),
    before: null,
    rowShapes: [{ columns: [column('id', 1), column('v', 2)], names: new Map(), fills: [] }],
    bytea: new Set(),
    intervals: new Set(),
    disguised: new Map(),
    copied: () => false,
  };
}

/** Feeds a batch as the loop does. */
class Feeding {
  readonly gathering: Gathering;
  readonly taken: string[] = [];
  readonly mappings = new TableMappings();
  position = at(0);
  readonly #head = new HeadReader();

  constructor(parts: Partial<GatheringParts & GatheringParts['limits']> = {}) {
    const { changes = 3, bytes = 1_000_000, age = 1_000, messageBytes = 1_000 } = parts;
    const { tables, exactly = false } = parts;
    for (const name of ['t', 'u']) this.mappings.set('s', name, mappingOf(name));
    this.mappings.set('s', 'bare', mappingOf('bare', null));
    this.mappings.leave({ schema: 's', name: 'left', fingerprint: null });
    this.gathering = new Gathering({
      ...{ mappings: this.mappings, newest: null, start: at(0), numericAsText: true, doubt: null },
      position: () => ({ end: this.position, commit: null }),
      settle: ({ table }) => Promise.reject(new Error(`unknown ${table}`)),
      emptied: () => undefined,
      ...parts,
      limits: {
        ...{ changes, bytes, age, messageBytes, exactly },
        ...(tables === undefined ? {} : { tables }),
      },
    });
  }

  async feed(...texts: readonly string[]): Promise<Batch[]> {
    const { gathering } = this;
    for (const text of texts) {
      const bytes = Buffer.from(text);
      const line = new Line(bytes, 0, bytes.length);
      const kind = this.#head.read(line.bytes, line.from, line.to);
      const message = decodeMessage(text);
      if (message.action === 'M') continue;
      if (message.action === 'B') gathering.begin(message.xid, message.lsn);
      else if (message.action === 'C') {
        await gathering.commit(message, 0);
        this.position = message.nextlsn;
      } else if (message.action === 'T' || !gathering.row(kind, line, this.#head)) {
        this.taken.push(message.action);
        gathering.exact(message, line.length);
      }
      while (gathering.full) await gathering.cut();
    }
    return gathering.sealed.splice(0);
  }

  seal(): Batch[] {
    this.gathering.seal();
    return this.gathering.sealed.splice(0);
  }
}

const begin = (xid: number) =>
  `{"action":"B","xid":${xid},"timestamp":"t","lsn":"${at(xid * 16)}"}`;
const commit = (xid: number) =>
  `{"action":"C","xid":${xid},"timestamp":"t","lsn":"${at(xid * 16)}","nextlsn":"${at(xid * 16 + 8)}"}`;
const head = (action: string, xid: number, table: string) =>
  `{"action":"${action}","xid":${xid},"timestamp":"t","lsn":"0/1","schema":"s","table":"${table}"`;
const cells = (...values: readonly (number | null)[]) =>
  values.map((value, i) => `{"name":"${i === 0 ? 'id' : 'v'}","value":${value}}`).join(',');
const insert = (xid: number, id: number, table = 't') =>
  `${head('I', xid, table)},"columns":[${cells(id, 0)}]}`;
const update = (xid: number, id: number, to = id, table = 't') =>
  `${head('U', xid, table)},"columns":[${cells(to, 1)}],"identity":[${cells(id)}]}`;
const remove = (xid: number, id: number, table = 't') =>
  `${head('D', xid, table)},"identity":[${cells(id)}]}`;
const truncate = (xid: number, table = 't') => `${head('T', xid, table)}}`;

/** Rows by kind, and changes of the exact path. */
function shown({ folded, changes, end, size, xids }: Batch) {
  const rows = folded.flatMap(({ relation, rows: of }) => {
    const [inserts = 0, updates = 0, deletes = 0] = [INSERT, UPDATE, DELETE].map(
      (kind) => of.live[kind],
    );
    return inserts + updates + deletes === 0
      ? []
      : [`${relation.name} +${inserts} ~${updates} -${deletes}`];
  });
  return { rows, changes: changes.map(({ kind }) => kind), end, size, xids: [...xids] };
}

const kinds = (batch: Batch): string[] => batch.exactly().map(({ kind }) => kind);

test('whole transactions are collected, and a batch names each one that it covers, also one without a change', async () => {
  const feeding = new Feeding({ changes: 10 });
  expect(feeding.gathering.untouched).toBe(true);
  await feeding.feed(begin(1), commit(1));
  expect(feeding.gathering).toMatchObject({ empty: true, untouched: false });
  await feeding.feed(begin(2), insert(2, 1, 'left'), commit(2));
  expect(feeding.gathering).toMatchObject({ empty: true, untouched: false });
  await feeding.feed(begin(3), insert(3, 1), update(3, 1), commit(3));
  await feeding.feed(begin(4), insert(4, 1, 'bare'), remove(4, 1), commit(4));
  const [batch] = feeding.seal();
  expect(batch && shown(batch)).toEqual({
    rows: ['t +0 ~0 -0', 'bare +1 ~0 -0'].slice(1),
    changes: [],
    end: at(4 * 16 + 8),
    size: 4,
    xids: [1, 2, 3, 4],
  });
  expect(batch && kinds(batch)).toEqual(['insert', 'update', 'insert', 'delete']);
  expect(batch?.transactions).toBe(2);
  expect(feeding.taken).toEqual([]);
  expect(feeding.mappings.takeMet().map(({ name }) => name)).toEqual(['left']);
  expect(feeding.seal().map(shown)).toMatchObject([{ rows: [], size: 0, xids: [] }]);
});

test('a commit record before the start is dropped, one exactly at the start is not', async () => {
  const feeding = new Feeding({ start: at(32) });
  await feeding.feed(begin(1), insert(1, 1), truncate(1), commit(1));
  expect(feeding.gathering.untouched).toBe(true);
  await feeding.feed(begin(2), insert(2, 2), commit(2));
  expect(feeding.seal().map(shown)).toMatchObject([{ rows: ['t +1 ~0 -0'], size: 1 }]);
});

test('an unusual change and all later ones of its table take the exact path; other tables do not', async () => {
  const feeding = new Feeding({ changes: 100 });
  await feeding.feed(
    ...[begin(1), insert(1, 1), insert(1, 1, 'u'), update(1, 1, 2), commit(1)],
    ...[begin(2), insert(2, 3), insert(2, 2, 'u'), remove(2, 1, 'bare'), commit(2)],
  );
  const [batch] = feeding.seal();
  expect(batch && shown(batch)).toMatchObject({
    rows: ['t +1 ~0 -0', 'u +2 ~0 -0'],
    changes: ['update', 'insert', 'delete'],
    size: 6,
  });
  expect(batch && kinds(batch)).toEqual([
    'insert',
    'insert',
    'insert',
    'update',
    'insert',
    'delete',
  ]);
  // The next batch starts without it.
  await feeding.feed(begin(3), insert(3, 9), commit(3));
  expect(feeding.seal().map(shown)).toMatchObject([{ rows: ['t +1 ~0 -0'], changes: [] }]);
});

test('nothing overtakes a TRUNCATE of any table until the batch ends', async () => {
  const feeding = new Feeding({ changes: 100 });
  await feeding.feed(begin(1), insert(1, 1, 'u'), truncate(1), insert(1, 2, 'u'), commit(1));
  await feeding.feed(begin(2), insert(2, 3, 'u'), commit(2));
  await feeding.feed(begin(3), truncate(3, 'left'), commit(3));
  expect(feeding.seal().map(shown)).toMatchObject([
    { rows: ['u +1 ~0 -0'], changes: ['truncate', 'insert', 'insert'], xids: [1, 2, 3] },
  ]);
  await feeding.feed(begin(4), truncate(4, 'left'), insert(4, 1), commit(4));
  expect(feeding.seal().map(shown)).toMatchObject([{ rows: ['t +1 ~0 -0'], changes: [] }]);
});

test('a huge transaction comes in pieces, and earlier changes are committed separately', async () => {
  const feeding = new Feeding({ changes: 3 });
  await feeding.feed(begin(1), insert(1, 1), commit(1));
  const many = Array.from({ length: 7 }, (_, i) => insert(2, i + 10, i % 2 === 0 ? 't' : 'u'));
  const pieces = await feeding.feed(begin(2), ...many);
  expect(pieces.map(shown)).toEqual([
    { rows: ['t +1 ~0 -0'], changes: [], end: at(24), size: 1, xids: [1] },
    { rows: ['t +2 ~0 -0', 'u +1 ~0 -0'], changes: [], end: null, size: 3, xids: [2] },
    { rows: ['u +2 ~0 -0', 't +1 ~0 -0'], changes: [], end: null, size: 3, xids: [2] },
  ]);
  expect(pieces.map(kinds).map(({ length }) => length)).toEqual([1, 3, 3]);
  expect(pieces.map(({ transactions }) => transactions)).toEqual([1, 0, 0]);
  expect(feeding.gathering.continuing).toBe(true);
  const [last] = await feeding.feed(commit(2));
  expect(last).toMatchObject({ end: at(40), transactions: 1, commit: { xid: 2, nextLsn: at(40) } });
  expect(last && shown(last)).toMatchObject({ rows: ['t +1 ~0 -0'], xids: [2] });
  expect(feeding.gathering).toMatchObject({ continuing: false, untouched: true });
});

test('a batch that ends inside a transaction leaves the whole transaction to the next, in its order', async () => {
  const feeding = new Feeding({ changes: 100 });
  await feeding.feed(begin(1), insert(1, 1), insert(1, 2, 'u'), commit(1));
  await feeding.feed(begin(2), update(2, 1), remove(2, 2, 'u'), update(2, 7, 8), insert(2, 3));
  const [whole] = feeding.seal();
  expect(whole && shown(whole)).toEqual({
    rows: ['t +1 ~0 -0', 'u +1 ~0 -0'],
    changes: [],
    end: at(24),
    size: 2,
    xids: [1],
  });
  await feeding.feed(insert(2, 4), insert(2, 5, 'u'), commit(2));
  const [rest] = feeding.seal();
  expect(rest && shown(rest)).toMatchObject({
    rows: ['t +0 ~1 -0', 'u +1 ~0 -1'],
    changes: ['update', 'insert', 'insert'],
    size: 6,
    xids: [2],
  });
  expect(rest && kinds(rest)).toHaveLength(6);
});

test('the tables of one TRUNCATE stay together, however full the batch is', async () => {
  const feeding = new Feeding({ changes: 1 });
  const batches = await feeding.feed(begin(1), truncate(1, 't'), truncate(1, 'u'), commit(1));
  expect(batches).toHaveLength(1);
  expect(batches[0]?.changes).toMatchObject([
    { kind: 'truncate', relations: [{ name: 't' }, { name: 'u' }] },
  ]);
});

test('a transaction with a change of an unknown table is not in the batch of earlier ones', async () => {
  const feeding = new Feeding({ changes: 100 });
  await feeding.feed(begin(1), insert(1, 1), commit(1));
  const failing = feeding.feed(begin(2), insert(2, 2), insert(2, 1, 'strange'), commit(2));
  await expect(failing).rejects.toThrow('unknown strange');
  expect(feeding.seal().map(shown)).toMatchObject([
    { rows: ['t +1 ~0 -0'], end: at(24), size: 1, xids: [1] },
  ]);
});

test('a key that is inserted twice is not folded: all changes of the batch go one by one', async () => {
  const feeding = new Feeding({ changes: 100 });
  await feeding.feed(
    begin(1),
    insert(1, 1),
    insert(1, 1),
    insert(1, 2, 'u'),
    update(1, 1),
    commit(1),
  );
  const [batch] = feeding.seal();
  expect(batch?.folded).toEqual([]);
  expect(batch?.changes.map(({ kind }) => kind)).toEqual(['insert', 'insert', 'insert', 'update']);
});

test('rows that the target refused take the exact path for a while, or permanently', async () => {
  const feeding = new Feeding({ changes: 100 });
  const one = async (xid: number) => {
    await feeding.feed(begin(xid), insert(xid, xid), commit(xid));
    const [batch] = feeding.seal();
    return batch;
  };
  (await one(1))?.folded[0]?.refuse(false);
  let exact = 0;
  for (let xid = 2; ((await one(xid))?.folded.length ?? 0) === 0; xid += 1) exact += 1;
  expect(exact).toBeGreaterThan(5);
  expect(exact).toBeLessThan(50);
  (await one(99))?.folded[0]?.refuse(true);
  for (let xid = 100; xid < 200; xid += 1) expect((await one(xid))?.folded).toEqual([]);
});

test('skipped transactions and the number of tables also fill a batch', async () => {
  const feeding = new Feeding({ changes: 3, tables: 2 });
  await feeding.feed(
    begin(1),
    insert(1, 1, 'left'),
    commit(1),
    begin(2),
    insert(2, 1, 'left'),
    commit(2),
  );
  expect(feeding.gathering.full).toBe(false);
  const left = await feeding.feed(begin(3), insert(3, 1, 'left'), commit(3));
  expect(left.map(shown)).toMatchObject([{ size: 0, xids: [1, 2, 3] }]);
  const tables = await feeding.feed(begin(4), insert(4, 1), insert(4, 1, 'u'), commit(4));
  expect(tables.map(shown)).toMatchObject([{ size: 2 }]);
});

test.each([
  ['a change outside of a transaction', [insert(1, 1)]],
  ['a change of another transaction', [begin(1), insert(2, 1)]],
  ['a transaction inside another', [begin(1), begin(2)]],
  ['a commit without its transaction', [begin(1), commit(2)]],
])('%s is refused', async (_, lines) => {
  await expect(new Feeding().feed(...lines)).rejects.toMatchObject({ code: 'StreamMalformed' });
});

/** What the lines result in: changes one by one, or a stopped stream. */
async function outcome(lines: readonly string[], exactly: boolean): Promise<string[] | string> {
  const feeding = new Feeding({ changes: 100, exactly });
  try {
    await feeding.feed(...lines);
    const [batch] = feeding.seal();
    const changes = batch?.exactly().map((change) => JSON.stringify(change)) ?? [];
    // Tables are independent of each other: the fast path may order them differently.
    return changes.sort();
  } catch (error) {
    if (error instanceof MigrationError && error.code === 'StreamMalformed') return error.code;
    if (error instanceof Error && error.message.startsWith('unknown ')) return error.message;
    throw error;
  }
}

test('lines with unexpected bytes stop the stream, or mean what the decoder reads', async () => {
  const lines = [
    ...[begin(1), insert(1, 1), update(1, 1), insert(1, 2, 'u'), remove(1, 1), commit(1)],
    ...[begin(2), update(2, 2, 3, 'u'), insert(2, 9, 'left'), insert(2, 4, 'bare'), commit(2)],
  ];
  const place = fc.tuple(fc.nat(lines.length - 1), fc.nat(400));
  const bytes = fc.constantFrom(...'{}[]",:\\ \n0189-IUDTBC', 'null', '\u0000', '');
  let stopped = 0;
  await fc.assert(
    fc.asyncProperty(place, bytes, fc.nat(3), async ([which, where], put, removed) => {
      const broken = lines.map((line, i) => {
        if (i !== which) return line;
        const cut = where % line.length;
        return line.slice(0, cut) + put + line.slice(cut + removed);
      });
      const fast = await outcome(broken, false);
      if (fast === 'StreamMalformed') stopped += 1;
      expect(fast).toEqual(await outcome(broken, true));
    }),
    { numRuns: 1_500, verbose: 1 },
  );
  expect(stopped).toBeGreaterThan(500);
});

test('each change that leaves the fast path has a reason, and those that only follow it have none', async () => {
  const left: [string, string][] = [];
  const feeding = new Feeding({
    changes: 100,
    messageBytes: 300,
    left: ({ name }, why) => left.push([name, why]),
  });
  await feeding.feed(begin(1), insert(1, 1), update(1, 1), insert(1, 9, 'left'), remove(1, 1));
  expect(left).toEqual([]);
  await feeding.feed(update(1, 2, 3), insert(1, 4), remove(1, 1, 'bare'), commit(1));
  expect(left.splice(0)).toEqual([
    ['t', 'key'],
    ['bare', 'table'],
  ]);
  feeding.seal();
  const twice = `${head('I', 2, 'u')},"columns":[${cells(1, 0)},{"name":"w","value":1}]}`;
  await feeding.feed(
    begin(2),
    insert(2, 1),
    truncate(2),
    insert(2, 2),
    insert(2, 2, 'u'),
    commit(2),
  );
  expect(left).toEqual([]);
  feeding.seal();
  await expect(
    feeding.feed(begin(3), twice.replace('"xid":2', '"xid":3'), commit(3)),
  ).rejects.toThrow();
  expect(left).toEqual([['u', 'insert']]);
});

test('while a schema’s name is in doubt every change is decoded and shown with its own position', async () => {
  const met: [string, string | null][] = [];
  const doubt: GatheringParts['doubt'] = { met: ({ name }, { lsn }) => met.push([name, lsn]) };
  const feeding = new Feeding({ doubt });
  await feeding.feed(begin(2), insert(2, 1), insert(2, 1, 'left'), truncate(2), commit(2));
  expect(met).toEqual([
    ['t', '0/1'],
    ['left', '0/1'],
    ['t', '0/1'],
  ]);
});
