/** Parts of a schema that is too large to be tried in one transaction: each must work alone. */
import { expect, test } from 'vitest';
import { groupsOf } from '../../postgres/preflight/rehearsal/group.ts';
import type { PlannedEntry } from '../../postgres/archive/entry-phase.ts';

const entry = (id: number, kind: string, dependencies: number[] = []): PlannedEntry => ({
  ...{
    id,
    kind,
    dependencies,
    classOid: 0,
    oid: String(id),
    schema: 'public',
    name: `${kind} ${id}`,
  },
  ...{ section: 'pre', sql: '', phase: 'tables' },
});

/** A partitioned table with two partitions, their keys, and a foreign key to it. */
const TREE = [
  entry(1, 'TABLE'),
  entry(2, 'TABLE'),
  entry(3, 'TABLE'),
  entry(4, 'TABLE ATTACH', [2, 1]),
  entry(5, 'TABLE ATTACH', [3, 1]),
  entry(6, 'TABLE'),
  entry(11, 'CONSTRAINT', [1]),
  entry(12, 'CONSTRAINT', [2]),
  entry(13, 'CONSTRAINT', [3]),
  entry(14, 'INDEX ATTACH', [12, 2, 11, 1]),
  entry(15, 'INDEX ATTACH', [13, 3, 11, 1]),
  entry(16, 'FK CONSTRAINT', [6, 11, 14, 15]),
];

test('an index is attached only after its table, in groups of any size', () => {
  for (let most = 1; most <= TREE.length; most += 1) {
    const groups = groupsOf(TREE, most);
    expect(new Set(groups.flat().map(({ id }) => id)).size).toBe(TREE.length);
    for (const group of groups) {
      const ids = group.map(({ id }) => id);
      expect(ids).toEqual([...ids].sort((a, b) => a - b));
      for (const { id, dependencies } of group) {
        for (const on of dependencies) expect(ids, `${most}: ${id} needs ${on}`).toContain(on);
      }
      if (ids.includes(14)) expect(ids).toContain(4);
      if (ids.includes(15)) expect(ids).toContain(5);
    }
  }
  expect(groupsOf(TREE, 1).length).toBeGreaterThan(1);
});
