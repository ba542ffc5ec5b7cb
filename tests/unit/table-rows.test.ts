/**
 * Changes as bytes: folded to the same result as folding values, and refused where a line is not the plugin's.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fold, type Image, type PositionedChange } from '../../postgres/apply/fold.ts';
import { DELETE, INSERT, UPDATE, type RowKind } from '../../postgres/apply/row-records.ts';
import type { RowLayout } from '../../postgres/apply/row-layout.ts';
import { TableRows } from '../../postgres/apply/table-rows.ts';
import { decodeMessage } from '../../postgres/wal2json/decode.ts';
import { PLAIN } from '../../postgres/wal2json/value.ts';

const NAMES = ['a', 'b "quoted"', 'c', 'ü'];
const KEY = [0, 1];
const LAYOUT: RowLayout = {
  heads: NAMES.map((name) => Buffer.from(`{"name":${JSON.stringify(name)},"value":`)),
  names: NAMES,
  kinds: NAMES.map(() => PLAIN),
  varying: NAMES.map((_, at) => at >= 2),
  key: KEY,
};

const cells = (image: Image): string =>
  image
    .flatMap((value, at) =>
      value === undefined ? [] : [`{"name":${JSON.stringify(NAMES[at])},"value":${json(value)}}`],
    )
    .join(',');
/** As the plugin prints it: JSON.stringify knows more escapes only for what cannot occur. */
const json = (value: string | null): string => (value === null ? 'null' : JSON.stringify(value));

const HEAD = { insert: 'I', update: 'U', delete: 'D' };

function lineOf(change: PositionedChange): { text: string; at: number } {
  const head = `{"action":"${HEAD[change.kind]}","xid":7,"schema":"public","table":"t"`;
  const columns = change.kind === 'delete' ? '' : `,"columns":[${cells(change.columns)}]`;
  const identity = change.kind === 'insert' ? '' : `,"identity":[${cells(change.identity)}]`;
  return { text: `${head}${columns}${identity}}`, at: Buffer.byteLength(head) };
}

function take(rows: TableRows, change: PositionedChange): boolean {
  const { text, at } = lineOf(change);
  // Other lines surround it.
  const bytes = Buffer.from(`${text}${text}${text}`);
  const length = Buffer.byteLength(text);
  return rows[change.kind](bytes, length + at, 2 * length);
}

const unescaped = (field: string): string | null =>
  field === '\\N'
    ? null
    : field.replace(
        /\\(.)/g,
        (_, letter: string) => ({ n: '\n', t: '\t', r: '\r' })[letter] ?? letter,
      );

/** The remaining rows, sorted. */
function netOf(rows: TableRows): Record<'deletes' | 'updates' | 'inserts', string[]> {
  const of = (kind: RowKind): string[] => {
    const found: string[] = [];
    for (let row = 0; row < rows.count; row += 1) {
      if (rows.kind[row] !== kind) continue;
      if (kind === DELETE) {
        const text = rows.keys.toString('utf8', rows.keyFrom[row], rows.keyTo[row]);
        found.push(JSON.stringify(text.slice(0, -1).split('\t').map(unescaped)));
        continue;
      }
      const group = rows.groups[rows.group[row] ?? 0];
      if (!group) throw new Error('no shape');
      const fields = group.bytes
        .toString('utf8', rows.from[row], rows.to[row])
        .slice(0, -1)
        .split('\t');
      let at = 0;
      const image = [...group.present].map((one) =>
        one === 1 ? unescaped(fields[at++] ?? '') : undefined,
      );
      found.push(JSON.stringify(image));
    }
    expect(rows.live[kind], `live records of kind ${kind}`).toBe(found.length);
    return found.sort();
  };
  return { deletes: of(DELETE), updates: of(UPDATE), inserts: of(INSERT) };
}

const keyPart = fc.constantFrom('1', '2', '1\t1', 'ü');
const value = fc.oneof(
  fc.constant(null),
  fc.constantFrom(
    '',
    'b',
    '\\N',
    '\\.',
    'tab\t nl\n cr\r "q" \\ \u0001\b\f/',
    'é€😀',
    'x'.repeat(200) + '\\"\n',
  ),
);
const wish = fc.oneof(
  fc.record({
    kind: fc.constant('insert' as const),
    row: fc.tuple(keyPart, keyPart, value, value),
  }),
  fc.record({
    kind: fc.constant('update' as const),
    pick: fc.nat(8),
    values: fc.tuple(
      fc.oneof(value, fc.constant(undefined)),
      fc.oneof(value, fc.constant(undefined)),
    ),
  }),
  fc.record({ kind: fc.constant('delete' as const), pick: fc.nat(8) }),
);

/** A legal history without key changes: what is impossible at that point is skipped. */
function history(
  wishes: readonly (typeof wish extends fc.Arbitrary<infer T> ? T : never)[],
): PositionedChange[] {
  const there = new Map<string, Image>([['["1","1"]', ['1', '1', 'old', 'old']]]);
  const changes: PositionedChange[] = [];
  for (const one of wishes) {
    if (one.kind === 'insert') {
      const name = JSON.stringify(one.row.slice(0, 2));
      if (there.has(name)) continue;
      there.set(name, one.row);
      changes.push({ kind: 'insert', columns: one.row });
      continue;
    }
    const names = [...there.keys()];
    const name = names[one.pick % Math.max(1, names.length)];
    const row = name === undefined ? undefined : there.get(name);
    if (name === undefined || row === undefined) continue;
    const identity = row.slice(0, 2);
    if (one.kind === 'delete') {
      there.delete(name);
      changes.push({ kind: 'delete', identity });
    } else {
      changes.push({ kind: 'update', columns: [...identity, ...one.values], identity });
    }
  }
  return changes;
}

test('random legal histories fold to the same result as folding values, batch after batch', () => {
  const rows = new TableRows(LAYOUT);
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 40 }), (wishes) => {
      const changes = history(wishes);
      rows.reset();
      for (const change of changes) expect(take(rows, change)).toBe(true);
      const net = fold(changes, KEY);
      if (!net) throw new Error('not folded');
      const image = (columns: Image): string => JSON.stringify(NAMES.map((_, at) => columns[at]));
      expect(netOf(rows)).toEqual({
        deletes: net.deletes.map((key) => JSON.stringify(key)).sort(),
        updates: net.updates.map(({ columns }) => image(columns)).sort(),
        inserts: net.inserts.map(image).sort(),
      });
    }),
    { numRuns: 2_000, verbose: 1 },
  );
});

const ROW: PositionedChange = {
  kind: 'update',
  columns: ['1', '2', 'x', null],
  identity: ['1', '2'],
};

test('a line with any byte removed, doubled or changed is refused, or means what the decoder says', () => {
  const { text, at } = lineOf(ROW);
  const line = Buffer.from(text);
  for (let i = at; i < line.length; i += 1) {
    for (const changed of [
      Buffer.concat([line.subarray(0, i), line.subarray(i + 1)]),
      Buffer.concat([line.subarray(0, i), line.subarray(i, i + 1), line.subarray(i)]),
      Buffer.concat([line.subarray(0, i), Buffer.from([0x7f]), line.subarray(i + 1)]),
      Buffer.concat([line.subarray(0, i), Buffer.from([0xff]), line.subarray(i + 1)]),
      Buffer.concat([line.subarray(0, i), Buffer.from('\n'), line.subarray(i + 1)]),
      line.subarray(0, i),
    ]) {
      const rows = new TableRows(LAYOUT);
      if (!rows.update(changed, at)) {
        expect(rows.count).toBe(0);
        continue;
      }
      const message = decodeMessage(changed.toString('utf8'));
      if (message.action !== 'U') throw new Error('another action');
      const expected = NAMES.map(
        (name) => message.columns.find((cell) => cell.name === name)?.value,
      );
      expect(netOf(rows).updates, changed.toString()).toEqual([JSON.stringify(expected)]);
    }
  }
});

test('an unusual line is refused, and leaves earlier ones unchanged', () => {
  const cases: readonly PositionedChange[] = [
    { kind: 'update', columns: ['9', '2', 'x', 'y'], identity: ['1', '2'] },
    { kind: 'insert', columns: [null, '2', 'x', 'y'] },
    { kind: 'insert', columns: ['1', '2', undefined, 'y'] },
    { kind: 'update', columns: ['1', undefined, 'x', 'y'], identity: ['1', '2'] },
    { kind: 'delete', identity: ['1', undefined] },
    { kind: 'delete', identity: ['1', null] },
  ];
  const rows = new TableRows(LAYOUT);
  expect(take(rows, ROW)).toBe(true);
  const before = netOf(rows);
  for (const change of cases) {
    expect(take(rows, change), JSON.stringify(change)).toBe(false);
    expect(netOf(rows)).toEqual(before);
  }
});

test('a row that is gone, and a key that is taken, are an illegal sequence', () => {
  const rows = new TableRows(LAYOUT);
  expect(take(rows, { kind: 'delete', identity: ['1', '2'] })).toBe(true);
  expect(take(rows, { kind: 'delete', identity: ['1', '2'] })).toBe(false);
  expect(take(rows, ROW)).toBe(false);
  expect(take(rows, { kind: 'insert', columns: ['1', '2', 'x', 'y'] })).toBe(true);
  expect(take(rows, { kind: 'insert', columns: ['1', '2', 'x', 'y'] })).toBe(false);
  expect(netOf(rows)).toMatchObject({ deletes: ['["1","2"]'], inserts: ['["1","2","x","y"]'] });
});

test('updates of too many combinations of columns are refused, and earlier rows stay unchanged', () => {
  const names = ['id', ...'abcdefgh'];
  const rows = new TableRows({
    heads: names.map((name) => Buffer.from(`{"name":"${name}","value":`)),
    names,
    kinds: names.map(() => PLAIN),
    varying: names.map((_, at) => at > 0),
    key: [0],
  });
  const head = '{"action":"U","xid":7,"schema":"public","table":"t"';
  let taken = 0;
  for (let bits = 0; bits < 256; bits += 1) {
    const cell = (name: string, value: number) => `{"name":"${name}","value":${value}}`;
    const brought = names.slice(1).filter((_, at) => (bits >> at) % 2 === 1);
    const columns = [cell('id', bits), ...brought.map((name) => cell(name, bits))];
    const line = Buffer.from(
      `${head},"columns":[${columns.join(',')}],"identity":[${cell('id', bits)}]}`,
    );
    if (rows.update(line, Buffer.byteLength(head))) taken += 1;
  }
  expect(rows.live[UPDATE]).toBe(taken);
  expect(taken).toBeGreaterThan(32);
  expect(rows.groups.length).toBeLessThanOrEqual(64);
  for (let row = 0; row < rows.count; row += 1) {
    const group = rows.groups[rows.group[row] ?? 0];
    const fields = group?.bytes.toString('utf8', rows.from[row], rows.to[row]).trim().split('\t');
    expect(new Set(fields)).toEqual(
      new Set([rows.keys.toString('utf8', rows.keyFrom[row], rows.keyTo[row]).trim()]),
    );
  }
  rows.reset();
  expect(rows.groups.length).toBe(1);
});
