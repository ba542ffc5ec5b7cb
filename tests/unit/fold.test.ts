import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fold } from '../../postgres/apply/fold.ts';
import type { Image, NetEffect, PositionedChange } from '../../postgres/apply/fold.ts';

// Four columns: two key parts and two values, of which either may be absent from an update.
const KEY = [0, 1];
const COLUMNS = 4;

type Table = Map<string, Image>;

const nameOf = (image: Image): string => JSON.stringify(KEY.map((position) => image[position]));

const copyOf = (table: Table): Table =>
  new Map([...table].map(([name, image]) => [name, image.slice()]));

/** The naive implementation: one change after another, as on the source. */
function naive(before: Table, changes: readonly PositionedChange[]): Table {
  const table = copyOf(before);
  for (const change of changes) {
    if (change.kind === 'insert') {
      if (table.has(nameOf(change.columns))) throw new Error('key taken');
      table.set(nameOf(change.columns), change.columns.slice());
      continue;
    }
    const old = table.get(nameOf(change.identity));
    if (!old) throw new Error('no such row');
    table.delete(nameOf(change.identity));
    if (change.kind === 'delete') continue;
    const row = written(old, change.columns);
    if (table.has(nameOf(row))) throw new Error('key taken');
    table.set(nameOf(row), row);
  }
  return table;
}

function written(old: Image, columns: Image): Image {
  return Array.from({ length: COLUMNS }, (_, position) =>
    columns[position] === undefined ? old[position] : columns[position],
  );
}

/** Sets: all deletes, then all updates as one statement sees them (found by the old state), then all inserts. */
function applySets(before: Table, net: NetEffect): Table {
  const table = copyOf(before);
  for (const key of net.deletes) {
    if (!table.delete(JSON.stringify(key))) throw new Error('delete hit no row');
  }
  const moved = net.updates.map(({ key, columns }) => {
    const old = table.get(JSON.stringify(key));
    if (!old) throw new Error('update hit no row');
    table.delete(JSON.stringify(key));
    return written(old, columns);
  });
  for (const row of [...moved, ...net.inserts]) {
    if (table.has(nameOf(row))) throw new Error('key taken');
    table.set(nameOf(row), row);
  }
  return table;
}

const keyPart = fc.constantFrom('1', '2', '1,1');
const value = fc.oneof(fc.constant(null), fc.constantFrom('a', 'b', ''));
const cell = fc.oneof({ weight: 2, arbitrary: value }, fc.constant(undefined));
const row = fc.tuple(keyPart, keyPart, value, value);

/** What a writer wants to do; what is impossible in the state at that point is skipped. */
const wish = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), row }),
  fc.record({
    kind: fc.constant('update' as const),
    pick: fc.nat(8),
    key: fc.option(fc.tuple(keyPart, keyPart), { nil: undefined }),
    keyAbsent: fc.boolean(),
    values: fc.tuple(cell, cell),
  }),
  fc.record({ kind: fc.constant('delete' as const), pick: fc.nat(8) }),
);

type Wish = typeof wish extends fc.Arbitrary<infer T> ? T : never;

function history(before: Table, wishes: readonly Wish[]): PositionedChange[] {
  let table = copyOf(before);
  const changes: PositionedChange[] = [];
  for (const item of wishes) {
    let change: PositionedChange | undefined;
    if (item.kind === 'insert') {
      if (!table.has(nameOf(item.row))) change = { kind: 'insert', columns: [...item.row] };
    } else {
      const rows = [...table.values()];
      const old = rows[item.pick % Math.max(rows.length, 1)];
      if (!old) continue;
      const identity: Image = [old[0], old[1], undefined, undefined];
      if (item.kind === 'delete') {
        change = { kind: 'delete', identity };
      } else {
        const key = item.key ?? (item.keyAbsent ? [undefined, undefined] : [old[0], old[1]]);
        const columns: Image = [...key, ...item.values];
        const name = nameOf(written(old, columns));
        if (name === nameOf(old) || !table.has(name))
          change = { kind: 'update', columns, identity };
      }
    }
    if (!change) continue;
    changes.push(change);
    table = naive(table, [change]);
  }
  return changes;
}

test('the folded effect gives the same table as change by change, for any legal history', () => {
  let folded = 0;
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 5 }),
      fc.array(wish, { maxLength: 25 }),
      (rows, wishes) => {
        const before: Table = new Map(rows.map((image) => [nameOf(image), [...image]]));
        const changes = history(before, wishes);
        const net = fold(changes, KEY);
        expect(net).toBeDefined();
        if (!net) return;
        folded += changes.length;
        expect(applySets(before, net)).toEqual(naive(before, changes));
        // One entry per row at most.
        const names = [...net.deletes, ...net.updates.map(({ key }) => key)].map((key) =>
          JSON.stringify(key),
        );
        expect(new Set(names).size).toBe(names.length);
      },
    ),
    { numRuns: 3_000 },
  );
  expect(folded).toBeGreaterThan(1_000);
});

const insert = (columns: Image): PositionedChange => ({ kind: 'insert', columns });
const update = (key: string, columns: Image): PositionedChange => ({
  kind: 'update',
  identity: [key],
  columns,
});
const remove = (key: string): PositionedChange => ({ kind: 'delete', identity: [key] });
const NOTHING = { deletes: [], updates: [], inserts: [] };

test('a row that was inserted and deleted leaves nothing', () => {
  const changes = [insert(['1', 'a']), update('1', ['2', 'b']), remove('2')];
  expect(fold(changes, [0])).toEqual(NOTHING);
});

test('an unchanged column stays absent, and an earlier value of it is kept', () => {
  const net = fold([update('1', ['1', 'x', undefined]), update('1', ['1', undefined, 'y'])], [0]);
  expect(net?.updates).toEqual([{ key: ['1'], columns: ['1', 'x', 'y'], keyChanged: false }]);
  const untouched = fold([update('1', ['1', 'x', undefined])], [0]);
  expect(untouched?.updates[0]?.columns[2]).toBeUndefined();
});

test('an update of a new row fills the insert', () => {
  const net = fold([insert(['1', 'a', 'long']), update('1', ['1', 'b', undefined])], [0]);
  expect(net).toEqual({ ...NOTHING, inserts: [['1', 'b', 'long']] });
});

test('a chain of key changes is one update from the first key', () => {
  const net = fold([update('1', ['2', 'a']), update('2', ['3', 'b'])], [0]);
  expect(net?.updates).toEqual([{ key: ['1'], columns: ['3', 'b'], keyChanged: true }]);
  const back = fold([update('1', ['2', 'a']), update('2', ['1', 'b'])], [0]);
  expect(back?.updates).toEqual([{ key: ['1'], columns: ['1', 'b'], keyChanged: false }]);
});

test('a deleted and inserted key is two rows, so that nothing of the old one stays', () => {
  const changes = [remove('1'), insert(['1', 'a', 'b']), update('1', ['1', 'c', undefined])];
  expect(fold(changes, [0])).toEqual({ deletes: [['1']], updates: [], inserts: [['1', 'c', 'b']] });
});

test('a key out of line in the new row is the old key', () => {
  const net = fold([update('1', [undefined, 'a']), update('1', [undefined, 'b'])], [0]);
  expect(net?.updates).toEqual([{ key: ['1'], columns: [undefined, 'b'], keyChanged: false }]);
});

test.each([
  ['a key inserted twice', [insert(['1']), insert(['1'])]],
  ['a change of a row that is gone', [remove('1'), update('1', ['1', 'a'])]],
  ['a second delete', [remove('1'), remove('1')]],
  ['a change under a key that moved away', [update('1', ['2']), update('1', ['3'])]],
  ['a key that moves onto another row', [insert(['2']), update('1', ['2'])]],
  ['a key that is null', [{ kind: 'delete', identity: [null] } as const]],
  ['a key that is missing', [{ kind: 'delete', identity: [] } as const]],
] satisfies [string, PositionedChange[]][])('%s is not folded', (_, changes) => {
  expect(fold(changes, [0])).toBeUndefined();
});

test('composite keys whose joined texts are the same stay distinct', () => {
  const net = fold(
    [
      { kind: 'delete', identity: ['1,1', '1'] },
      { kind: 'delete', identity: ['1', '1,1'] },
    ],
    KEY,
  );
  expect(net?.deletes).toHaveLength(2);
});

test('the input is not changed: a replay still sees the single changes', () => {
  const changes = [insert(['1', 'a']), update('1', ['1', 'b'])];
  const before = structuredClone(changes);
  fold(changes, [0]);
  expect(changes).toEqual(before);
});
