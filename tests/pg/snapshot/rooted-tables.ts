/** A partitioned source table whose rows go through their root, and targets that are plain or partitioned differently. */
import { expect } from 'vitest';
import { type FreshPair } from '../../support/database.ts';
import { startMigration } from '../../support/stream.ts';
import { compare } from '../../../scripts/compare/databases.ts';

export const VIA = { include: ['*.*'], exclude: [], viaPartitionRoot: ['public.m'] };

/** By range, list and hash, with a default; 400 rows. */
export const SOURCE = /* sql */ `
  create table m (id int, k int, v text, primary key (id, k)) partition by range (k);
  create table m_1 partition of m for values from (0) to (100);
  create table m_2 partition of m for values from (100) to (200) partition by hash (id);
  create table m_2_0 partition of m_2 for values with (modulus 2, remainder 0);
  create table m_2_1 partition of m_2 for values with (modulus 2, remainder 1);
  create table m_3 partition of m for values from (200) to (300) partition by list (k);
  create table m_rest partition of m default;
  create table other (id int primary key, v text);
  insert into m select i, i % 200, 'copied' from generate_series(1, 400) i;
  insert into m values (500, 900, 'in the default');
  insert into other values (1, 'one');`;

const OTHER = /* sql */ `create table other (id int primary key, v text);`;

/** The operator's table on the target. */
export const TARGETS = {
  plain: /* sql */ `create table m (id int, k int, v text, primary key (id, k)); ${OTHER}`,
  hash: /* sql */ `${OTHER}
    create table m (v text, k int not null, id int primary key) partition by hash (id);
    create table m_1 partition of m for values with (modulus 2, remainder 0);
    create table half partition of m for values with (modulus 2, remainder 1) partition by range (id);
    create table half_low partition of half for values from (minvalue) to (50);
    create table half_rest partition of half default;`,
} as const;

export const start = (db: FreshPair, onTarget: keyof typeof TARGETS = 'plain') =>
  startMigration(db, SOURCE, VIA, TARGETS[onTarget]);

/** The independent comparison: a partitioned table counts as one, whatever it is on the other side. */
export async function expectSameRoot(db: FreshPair): Promise<void> {
  const { equal, tables } = await compare({
    ...{ source: db.source, target: db.target, include: [], exclude: [] },
    ...{ sequences: false, md5: false, show: 5 },
  });
  expect({ equal, tables: tables.filter((table) => !table.equal) }).toEqual({
    ...{ equal: true, tables: [] },
  });
  expect(tables.map(({ table }) => table)).toContain('public.m');
}
