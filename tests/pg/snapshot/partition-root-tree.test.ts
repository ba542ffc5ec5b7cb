/** Partitions of a root that are created, attached, detached, rewritten or dropped while the stream or the copy runs. */
import { expect, test } from 'vitest';
import { readRelations } from '../../../postgres/catalog/read-relations.ts';
import { streamChanges } from '../../support/lease.ts';
import { observed } from '../../support/observed.ts';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { OPTIONS, startMigration, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { VIA, SOURCE, TARGETS, start, expectSameRoot } from './rooted-tables.ts';

test('no condition is used for a partition where a type, function, operator class or collation of its key may differ on the target', async () => {
  await using db = await freshPair();
  const vague = {
    enum: ['m mood', 'list (m)', `in ('a')`],
    enums: ['m mood[]', 'list (m)', `in ('{a}')`],
    domain: ['m my_mood', 'range (m)', `from ('a') to ('b')`],
    row: ['m pair', 'list (m)', `in ('(a,1)')`],
    expression: ['m mood', 'list ((array[m]))', `in ('{a}')`],
    names: ['m regclass', 'list (m)', `in ('pg_class')`],
    function: ['m int', 'list (grp(m))', 'in (0)'],
    operators: ['m int', 'range (m backwards)', 'from (2) to (1)'],
    texts: ['m words', 'range (m)', `from ('[a,b)') to ('[b,c)')`],
    text: ['m text collate "en-US-x-icu"', 'range (m)', `from ('a') to ('b')`],
  };
  const exact = {
    int: ['m int', 'range (m)', 'from (0) to (10)'],
    inner: ['m int', 'list ((m % 7))', 'in (0)'],
    bytes: ['m text collate "C"', 'range (m)', `from ('a') to ('b')`],
    word: ['m text collate "en-US-x-icu"', 'list (m)', `in ('a')`],
    days: ['m daterange', 'list (m)', `in ('[2026-01-01,2026-02-01)')`],
  };
  const all = Object.entries({ ...vague, ...exact });
  await db.sourceClient.query(/* sql */ `
    create type mood as enum ('a', 'b'); create domain my_mood as mood; create type pair as (m mood, n int);
    create type words as range (subtype = text, collation = "en-US-x-icu");
    create function grp(int) returns int immutable language sql as 'select $1 % 2';
    create function less(int, int) returns int immutable language sql as 'select $2 - $1';
    create operator class backwards for type int using btree as
      operator 1 >, operator 2 >=, operator 3 =, operator 4 <=, operator 5 <, function 1 less(int, int);`);
  for (const [name, [column = '', key = '', bounds = '']] of all) {
    await db.sourceClient.query(`create table "${name}" (${column}, k int) partition by ${key}`);
    // A level in between: the bounds above it count, too.
    await db.sourceClient.query(
      `create table "${name}_p" partition of "${name}" for values ${bounds} partition by list (k)`,
    );
    await db.sourceClient.query(
      `create table "${name}_1" partition of "${name}_p" for values in (1)`,
    );
  }
  const found = await readRelations(db.sourceClient, { ...VIA, viaPartitionRoot: ['public.*'] });
  const leaves = found.filter(({ kind }) => kind === 'r');
  expect(
    leaves.flatMap(({ name, viaRoot }) => (viaRoot?.bounds == null ? [name] : [])).sort(),
  ).toEqual(
    Object.keys(vague)
      .map((name) => `${name}_1`)
      .sort(),
  );
  expect(leaves).toHaveLength(all.length);
});

test('a partition that is created while streaming needs nothing on the target, and is not copied', async () => {
  await using db = await freshPair();
  const migration = await start(db, 'hash');
  await db.sourceClient.query(/* sql */ `
    create table m_4 partition of m for values from (300) to (400) partition by list (k);
    create table m_4_a partition of m_4 for values in (301, 302);`);
  await db.sourceClient.query(/* sql */ `
    insert into m select i, 301, 'in a new one' from generate_series(3000, 3100) i;
    update m set k = 302 where id = 7`);
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
  await db.sourceClient.query(/* sql */ `truncate m_4; insert into m values (30000, 302, 'x')`);
  await db.sourceClient.query(
    /* sql */ `update m set k = 301, v = 'to the new one' where id between 20 and 40`,
  );
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
});

/** What changes the partitions in a way that the stream does not show. */
const RESHAPED: readonly { readonly title: string; readonly sql: readonly string[] }[] = [
  { title: 'dropped', sql: [/* sql */ `drop table m_1`] },
  {
    title: 'dropped together with all others',
    sql: [/* sql */ `drop table m_1, m_2, m_3, m_rest`],
  },
  {
    title: 'dropped with all others before new ones are created',
    sql: [
      /* sql */ `drop table m_1, m_2, m_3, m_rest; create table m_all partition of m default`,
      /* sql */ `insert into m values (1, 1, 'again'), (2, 500, 'again')`,
    ],
  },
  {
    title: 'attached with existing rows',
    sql: [
      /* sql */ `create table hidden.extra (like m including all);
        insert into hidden.extra values (7000, 350, 'came with it')`,
      /* sql */ `alter table m attach partition hidden.extra for values from (300) to (400)`,
      /* sql */ `insert into m values (7001, 351, 'came later'); update m set k = 352 where id = 9`,
    ],
  },
  {
    title: 'created and renamed before its first change was read',
    sql: [
      /* sql */ `create table m_new partition of m for values from (300) to (400)`,
      /* sql */ `insert into m values (7100, 301, 'under the old name')`,
      /* sql */ `alter table m_new rename to m_renamed`,
      /* sql */ `insert into m values (7101, 302, 'under the new name')`,
    ],
  },
  {
    title: 'created, filled and renamed in one transaction',
    sql: [
      /* sql */ `begin; create table m_new partition of m for values from (300) to (400);
        insert into m values (7100, 301, 'under the old name'); alter table m_new rename to m_renamed; commit`,
    ],
  },
  {
    title: 'created and filled, with its schema renamed',
    sql: [
      /* sql */ `create table hidden.m_new partition of m for values from (300) to (400)`,
      /* sql */ `insert into m values (7100, 301, 'under the old name')`,
      /* sql */ `alter schema hidden rename to shown`,
    ],
  },
  {
    title: 'detached, changed and attached again with other bounds',
    sql: [
      /* sql */ `alter table m detach partition m_1`,
      /* sql */ `delete from m_1; insert into m_1 values (7200, 210, 'alone')`,
      /* sql */ `drop table m_3; alter table m attach partition m_1 for values from (200) to (300)`,
      /* sql */ `update m set v = 'attached' where id = 7200`,
    ],
  },
  {
    title: 'split, with its rows moved from the default partition to a new one',
    sql: [
      /* sql */ `begin; alter table m detach partition m_rest;
        create table m_9 partition of m for values from (900) to (1000);
        insert into m select * from m_rest; truncate m_rest; alter table m attach partition m_rest default; commit`,
      /* sql */ `update m set v = 'moved by hand' where id = 500`,
    ],
  },
];

for (const { title, sql } of RESHAPED) {
  test(`a partition that is ${title} resyncs the table, and no row is duplicated or left over`, async () => {
    await using db = await freshPair();
    // Not selected on its own: what a partition contained before is unknown.
    const selection = { ...VIA, include: ['public.*'] };
    const migration = await startMigration(
      db,
      `${SOURCE} create schema hidden`,
      selection,
      `${TARGETS.hash} create schema hidden`,
    );
    await db.sourceClient.query(
      /* sql */ `update m set v = 'before', k = (k + 30) % 190 where id < 80`,
    );
    for (const one of sql) await db.sourceClient.query(one);
    await db.sourceClient.query(/* sql */ `update m set v = 'after' where id % 9 = 0`);
    const copied = await drainWithCopies(db, migration, selection);
    expect(copied.join()).toContain('which goes through public.m on the target');
    await expectSameRoot(db);
    await db.sourceClient.query(/* sql */ `update m set v = 'end' where id % 2 = 0`);
    expect(await drainWithCopies(db, migration, selection)).toEqual([]);
    await expectSameRoot(db);
  });
}

test('a key that is used again after its partition was dropped in the middle of a lease meets no old row', async () => {
  await using db = await freshPair();
  const migration = await start(db, 'hash');
  const work = testWork();
  const streaming = observed(streamChanges(migration, { ...OPTIONS, ...VIA }, work));
  const { sourceClient: source, targetClient: target } = db;
  await source.query(/* sql */ `update m set v = 'streams' where id = 3`);
  await until('the stream to be there', async () => {
    const { rows } = await target.query(/* sql */ `select from m where v = 'streams'`);
    return rows.length === 1;
  });
  await source.query(/* sql */ `drop table m_1`);
  await source.query(/* sql */ `insert into m values (3, 3, 'again')`);
  await expect(streaming).rejects.toMatchObject({ code: 'Resync' });
  await drainWithCopies(db, migration, VIA);
  await expectSameRoot(db);
});

test('a partition that is created unlogged, filled and made logged is copied', async () => {
  await using db = await freshPair();
  const migration = await start(db);
  await db.sourceClient.query(/* sql */ `
    create unlogged table m_new partition of m for values from (300) to (400);
    insert into m values (7000, 301, 'in no WAL'); alter table m_new set logged`);
  await db.sourceClient.query(/* sql */ `insert into m values (7001, 302, 'logged')`);
  expect((await drainWithCopies(db, migration, VIA)).join()).toContain('m_new');
  await expectSameRoot(db);
});

test('a detached partition becomes a separate table: once it is created on the target, both arrive complete', async () => {
  await using db = await freshPair();
  const migration = await start(db);
  await db.sourceClient.query(/* sql */ `alter table m detach partition m_1`);
  await db.sourceClient.query(
    /* sql */ `insert into m_1 values (10000, 1, 'alone'); update m set v = 'x'`,
  );
  expect(await failureOf(db, migration, VIA)).toMatchObject({
    code: 'UnknownRelation',
    details: { table: 'public.m_1' },
  });
  await db.targetClient.query(
    /* sql */ `create table public.m_1 (id int, k int, v text, primary key (id, k))`,
  );
  await drainWithCopies(db, migration, VIA);
  await expectSameRoot(db);
  // And back: the target's own table gets no more changes and must be dropped.
  await db.sourceClient.query(
    /* sql */ `alter table m attach partition m_1 for values from (0) to (100)`,
  );
  const failure = await failureOf(db, migration, VIA);
  expect(failure?.message).toContain('drop it on the target');
  await db.targetClient.query(/* sql */ `drop table m_1`);
  await drainWithCopies(db, migration, VIA);
  await expectSameRoot(db);
});

test('a partition that is half detached (CONCURRENTLY) no longer counts as a partition', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table m (id int primary key) partition by range (id);
      create table m_1 partition of m for values from (0) to (100);
      create table m_2 partition of m for values from (100) to (200);
      insert into m select i from generate_series(1, 150) i`,
    VIA,
    /* sql */ `create table m (id int primary key)`,
  );
  await using reader = await connectTo(db.source);
  await reader.query(/* sql */ `begin isolation level repeatable read; select from m`);
  await using other = await connectTo(db.source);
  const detached = other.query(/* sql */ `alter table m detach partition m_1 concurrently`);
  await until('the partition to be half detached', async () => {
    const { rows } = await db.sourceClient.query(
      /* sql */ `select from pg_inherits where inhdetachpending`,
    );
    return rows.length === 1;
  });
  expect(await failureOf(db, migration, VIA)).toMatchObject({
    code: 'UnknownRelation',
    details: { table: 'public.m_1' },
  });
  await reader.query(/* sql */ `commit`);
  await detached;
  await db.targetClient.query(/* sql */ `create table public.m_1 (id int primary key)`);
  await drainWithCopies(db, migration, VIA);
  await expectSameRoot(db);
});

test('a separate table that shares its name with a partition on the target is not taken for that partition', async () => {
  await using db = await freshPair();
  const migration = await start(db, 'hash');
  await db.sourceClient.query(/* sql */ `alter table m detach partition m_1`);
  await db.sourceClient.query(/* sql */ `insert into m_1 values (10000, 1, 'alone')`);
  await db.targetClient.query(/* sql */ `truncate m`);
  const failure = await failureOf(db, migration, VIA);
  expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.m_1' } });
  expect(failure?.message).toContain('a partition on the target');
});

test('one partition that was rewritten during the copy puts all others into the next pass: every row exists once', async () => {
  await using db = await freshPair();
  const migration = await start(db);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'changed' where table_name = 'm_2_1'`,
  );
  await resync(db, migration, VIA, async () => {
    await db.sourceClient.query(/* sql */ `update m set k = (k + 100) % 200 where id % 3 = 0`);
    await db.sourceClient.query(/* sql */ `vacuum full m_1`);
  });
  const { rows } = await db.targetClient.query(
    /* sql */ `select table_name as name from walferry.relation where state = 'resync'`,
  );
  expect(rows).toEqual([{ name: 'm_1' }]);
  await db.sourceClient.query(/* sql */ `update m set k = (k + 100) % 200 where id % 4 = 0`);
  await resync(db, migration, VIA);
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
  const snapshots = await db.targetClient.query(
    /* sql */ `select distinct pass from walferry.relation where root_name = 'm' and kind = 'r'`,
  );
  expect(snapshots.rows).toEqual([{ pass: 3 }]);
});

test('a root that the source dropped must be dropped on the target, in the stream and between passes of the copy', async () => {
  await using db = await freshPair();
  const migration = await start(db);
  await db.sourceClient.query(/* sql */ `drop table m`);
  const expected = { code: 'SchemaDrift', details: { table: 'public.m' } };
  expect(await failureOf(db, migration, VIA)).toMatchObject(expected);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'changed' where table_name = 'm_1'`,
  );
  await resync(db, migration, VIA);
  const failure = await failureOf(db, migration, VIA);
  expect(failure).toMatchObject(expected);
  expect(failure?.message).toContain('drop it on the target');
  await db.targetClient.query(/* sql */ `drop table m`);
  await drainWithCopies(db, migration, VIA);
});
