/** Archives of a schema dumped in parts become one list that runs like one script. */
import { expect, test } from 'vitest';
import type { ArchiveEntry } from '../../postgres/archive/archive.ts';
import { mergeArchives, offsetsOf } from '../../postgres/archive/archive-merge.ts';

const CLASS = 1259;
const CONSTRAINT = 2606;

const entry = (
  id: number,
  kind: string,
  name: string,
  more: Partial<ArchiveEntry> = {},
): ArchiveEntry => ({
  ...{ id, classOid: 0, oid: '0', kind, schema: 'public', name },
  ...{ section: 'pre', dependencies: [], sql: `-- ${name}` },
  ...more,
});

const rest = [
  entry(2, 'TYPE', 'mood', { classOid: 1247, oid: '500' }),
  entry(3, 'ACL', 'TYPE mood', { section: 'pre', dependencies: [2] }),
  entry(9, 'EVENT TRIGGER', 'audit', { section: 'post' }),
];
const first = [
  entry(2, 'TABLE', 'a', { classOid: CLASS, oid: '100' }),
  entry(3, 'FK CONSTRAINT', 'a a_b_fkey', {
    classOid: CONSTRAINT,
    oid: '300',
    section: 'post',
    dependencies: [2, 700],
  }),
];
const second = [
  entry(2, 'TABLE', 'b', { classOid: CLASS, oid: '200' }),
  entry(3, 'CONSTRAINT', 'b b_pkey', {
    classOid: CONSTRAINT,
    oid: '301',
    section: 'post',
    dependencies: [2],
  }),
];

test('numbers are unique, including those that an entry depends on but its archive does not list', () => {
  const offsets = offsetsOf([rest, first, second]);
  expect(offsets).toEqual([0, 9, 709]);
  const ids = mergeArchives([rest, first, second], []).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
});

test('objects come before keys, those before grants, and event triggers last', () => {
  const merged = mergeArchives([rest, first, second], []);
  expect(merged.map(({ name }) => name)).toEqual([
    ...['mood', 'a', 'b', 'a a_b_fkey', 'b b_pkey', 'TYPE mood', 'audit'],
  ]);
});

test('dependencies between archives are restored: of the object itself, or of its table', () => {
  const merged = mergeArchives(
    [rest, first, second],
    [
      { from: `${CONSTRAINT} 300`, table: `${CLASS} 100`, to: `${CLASS} 200` },
      { from: '2604 999', table: `${CLASS} 100`, to: '1247 500' },
      { from: `${CONSTRAINT} 300`, table: `${CLASS} 100`, to: `${CLASS} 31337` },
    ],
  );
  const of = (name: string) => merged.find((one) => one.name === name);
  expect(of('a')?.dependencies).toEqual([of('mood')?.id]);
  expect(of('a a_b_fkey')?.dependencies).toEqual([of('a')?.id, 709, of('b')?.id]);
});

test('an entry comes after those that it depends on, whatever their sections, and a comment after its event trigger', () => {
  const merged = mergeArchives(
    [
      [
        entry(1, 'TABLE', 'u', { dependencies: [4] }),
        entry(2, 'TABLE', 't'),
        entry(3, 'CONSTRAINT', 't t_pkey', { section: 'post', dependencies: [2] }),
        entry(4, 'FUNCTION', 'names', { section: 'post', dependencies: [3, 5] }),
        entry(5, 'FUNCTION', 'circle', { dependencies: [4] }),
        entry(6, 'COMMENT', 'EVENT TRIGGER audit', { dependencies: [7] }),
        entry(7, 'EVENT TRIGGER', 'audit', { section: 'post' }),
        entry(8, 'ACL', 'TABLE u', { dependencies: [1] }),
      ],
    ],
    [],
  );
  const names = merged.map(({ name }) => name);
  expect(names).toEqual([
    ...['t', 't t_pkey', 'circle', 'names', 'u', 'TABLE u', 'audit', 'EVENT TRIGGER audit'],
  ]);
});
