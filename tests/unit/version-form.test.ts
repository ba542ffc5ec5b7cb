/** Values that two versions of PostgreSQL print the same and read differently. */
import { expect, test } from 'vitest';
import {
  charColumns,
  holdsExtremeInterval,
  intervalColumns,
  mayHoldExtremeInterval,
  mistakesChars,
  mistakesIntervals,
} from '../../postgres/catalog/version-form.ts';
import type { TypeNode } from '../../postgres/catalog/type-graph.ts';
import { findings, TABLE } from '../support/preflight-facts.ts';

const [column] = TABLE.columns;
if (!column) throw new Error('no column');
const node = (oid: number, ...inner: number[]): [number, TypeNode] => [
  oid,
  {
    oid,
    name: `t${oid}`,
    kind: 'composite',
    parts: [],
    labels: [],
    attributes: [],
    inner,
    innerNames: [],
  },
];
const TYPES = new Map([
  node(20_001, 18),
  node(20_002, 20_001),
  node(20_003, 1187),
  node(20_004, 25),
  node(20_005, 20_003, 1002),
]);
const columns = [18, 1002, 1186, 1187, 25, 20_001, 20_002, 20_003, 20_004, 20_005].map(
  (typeOid) => ({
    ...column,
    typeOid,
    name: `c${typeOid}`,
  }),
);

test('columns with "char" and with intervals are found at any depth, and no others', () => {
  const table = { columns, types: TYPES };
  expect(charColumns(table)).toEqual(['c18', 'c1002', 'c20001', 'c20002', 'c20005']);
  expect(intervalColumns(table)).toEqual(['c1186', 'c1187', 'c20003', 'c20005']);
  expect(
    charColumns({ ...table, columns: columns.map((one) => ({ ...one, generated: true })) }),
  ).toEqual([]);
});

test('"char" is refused from 15 on to an older target, and carried in every other direction', () => {
  const refused = (source: number, target: number) =>
    findings({
      source: { major: source, relations: [{ ...TABLE, columns, types: TYPES }] },
      target: { major: target },
    })
      .filter(({ code }) => code === 'char-byte')
      .map(({ level, message }) => [level, message.includes('public.t.c20002')]);
  for (const source of [15, 16, 17, 18]) {
    for (const target of [13, 14]) expect(refused(source, target)).toEqual([['error', true]]);
    for (const target of [15, 16, 17, 18]) expect(refused(source, target)).toEqual([]);
  }
  expect(mistakesChars({ source: 14, target: 13 })).toBe(false);
  expect(mistakesChars({ source: 13, target: 18 })).toBe(false);
});

test('the largest and smallest interval are recognized in every text that contains them', () => {
  const largest = '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807';
  const smallest = '-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808';
  for (const text of [
    largest,
    smallest,
    `{"${largest}",NULL}`,
    `(1,"${smallest}")`,
    `["${smallest}",)`,
  ]) {
    expect(holdsExtremeInterval(text)).toBe(true);
    expect(mayHoldExtremeInterval(Buffer.from(text))).toBe(true);
  }
  for (const text of [
    '1 mon',
    largest.replace('807', '806'),
    '2562047788:00:54.775807',
    'infinity',
  ]) {
    expect(holdsExtremeInterval(text)).toBe(false);
  }
  expect(mistakesIntervals({ source: 16, target: 17 })).toBe(true);
  expect(mistakesIntervals({ source: 17, target: 18 })).toBe(false);
  expect(mistakesIntervals({ source: 15, target: 16 })).toBe(false);
});
