/**
 * Partitioned tables whose rows go through their root on the target, which is plain or partitioned differently there: the stream,
 * partitions that are created and dropped, and resyncs. Each test ends with an exact comparison.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { readRelations } from '../../../postgres/catalog/read-relations.ts';
import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import type { Change, RowChange } from '../../../postgres/apply/change.ts';
import { streamChanges } from '../../support/lease.ts';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { drain, OPTIONS, startMigration, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { compare } from '../../../scripts/compare/databases.ts';
import { Feed } from '../apply/apply-feed.ts';

const VIA = { include: ['*.*'], exclude: [], viaPartitionRoot: ['public.m'] };

/** By range, list and hash, with a default; 400 rows. */
const SOURCE = /* sql */ `
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
const TARGETS = {
  plain: /* sql */ `create table m (id int, k int, v text, primary key (id, k)); ${OTHER}`,
  hash: /* sql */ `${OTHER}
    create table m (v text, k int not null, id int primary key) partition by hash (id);
    create table m_1 partition of m for values with (modulus 2, remainder 0);
    create table half partition of m for values with (modulus 2, remainder 1) partition by range (id);
    create table half_low partition of half for values from (minvalue) to (50);
    create table half_rest partition of half default;`,
} as const;

const start = (db: FreshPair, onTarget: keyof typeof TARGETS = 'plain') =>
  startMigration(db, SOURCE, VIA, TARGETS[onTarget]);

/** The independent comparison: a partitioned table counts as one, whatever it is on the other side. */
async function expectSameRoot(db: FreshPair): Promise<void> {
  const { equal, tables } = await compare({
    ...{ source: db.source, target: db.target, include: [], exclude: [] },
    ...{ sequences: false, md5: false, show: 5 },
  });
  expect({ equal, tables: tables.filter((table) => !table.equal) }).toEqual({
    ...{ equal: true, tables: [] },
  });
  expect(tables.map(({ table }) => table)).toContain('public.m');
}

for (const onTarget of ['plain', 'hash'] as const) {
  test(`rows that change, move between partitions and change their key arrive through a ${onTarget} root, in small and large numbers`, async () => {
    await using db = await freshPair();
    const migration = await start(db, onTarget);
    const { sourceClient: source } = db;
    await source.query(/* sql */ `update m set v = 'few' where id < 10`);
    await source.query(/* sql */ `update m set k = 150 where id between 1 and 5`);
    await source.query(/* sql */ `update m set id = 1000 + id, k = 99 where id between 6 and 9`);
    expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
    await expectSameRoot(db);
    await source.query(/* sql */ `update m set k = (k + 77) % 190`);
    await source.query(/* sql */ `update m set id = 5000 - id, k = (k * 3) % 190, v = 'many'`);
    await source.query(/* sql */ `delete from m where id % 5 = 0`);
    await source.query(
      /* sql */ `insert into m select i, 400 + i % 2, 'again' from generate_series(9000, 9100) i`,
    );
    await source.query(/* sql */ `update m set k = 3 where k >= 400`);
    expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
    await expectSameRoot(db);
  });
}

test('a key that one partition frees and another takes in the same batch is applied in that order: no set is refused', async () => {
  await using feed = await Feed.start(/* sql */ `
    create table m (id int, k int, v text, primary key (id, k)) partition by list (k);
    create table m_a partition of m for values in (2);
    create table m_b partition of m for values in (1);`);
  await feed.target.query(
    /* sql */ `drop table m; create table public.m (id int primary key, k int, v text)`,
  );
  const through = (change: Change): Change =>
    change.kind === 'truncate' ? change : routed(change);
  const relations = new Map<string, RowChange['relation']>();
  const routed = (change: RowChange): Change => {
    const { name } = change.relation;
    const relation = relations.get(name) ?? {
      ...change.relation,
      destination: { schema: 'public', name: 'm' },
    };
    relations.set(name, relation);
    return { ...change, relation };
  };
  const apply = async (): Promise<number> => {
    const changes = (await feed.changes()).map(through);
    await using applier = await feed.open();
    await feed.applyWith(applier, changes);
    return applier.refusals;
  };
  await feed.source.query(
    /* sql */ `insert into m select i, 1, 'v' from generate_series(1, 200) i`,
  );
  expect(await apply()).toBe(0);
  // m_a, whose changes come first only by chance, takes the ids that m_b frees.
  await feed.source.query(/* sql */ `
    insert into m select i, 2, 'other' from generate_series(1001, 1100) i;
    update m set k = 2, v = 'moved' where k = 1`);
  expect(await apply()).toBe(0);
  const rows = /* sql */ `select id, k, v from m order by 1`;
  expect((await feed.target.query(rows)).rows).toEqual((await feed.source.query(rows)).rows);
});

for (const onTarget of ['plain', 'hash'] as const) {
  test(`TRUNCATE of the root, of a part of it and of one partition empties exactly that on a ${onTarget} target`, async () => {
    await using db = await freshPair();
    const migration = await start(db, onTarget);
    const { sourceClient: source } = db;
    await source.query(/* sql */ `
      insert into m values (600, 50, 'before'); truncate m_1; insert into m values (601, 50, 'after')`);
    await source.query(/* sql */ `truncate m_1, other; insert into m values (602, 51, 'again')`);
    expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
    await expectSameRoot(db);
    await source.query(/* sql */ `
      insert into m values (700, 1, 'before'), (701, 150, 'before');
      truncate m, other;
      insert into m values (702, 1, 'after'), (703, 150, 'after'), (704, 900, 'after')`);
    expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
    await expectSameRoot(db);
    expect((await db.targetClient.query(/* sql */ `select from m`)).rowCount).toBe(3);
  });
}

for (const part of ['m_2_0', 'm_2', 'm_rest']) {
  test(`TRUNCATE of only ${part}, whose rows no condition selects on the target, resyncs the whole table and duplicates nothing`, async () => {
    await using db = await freshPair();
    const migration = await start(db);
    await db.sourceClient.query(/* sql */ `
      insert into m values (800, 120, 'before'), (801, 901, 'before');
      truncate ${part};
      insert into m values (802, 121, 'after'), (803, 902, 'after')`);
    const failure = await failureOf(db, migration, VIA);
    expect(failure).toMatchObject({ code: 'Resync' });
    expect(failure?.message).toContain('truncates only this partition');
    expect((await drainWithCopies(db, migration, VIA)).join()).not.toContain('other');
    await expectSameRoot(db);
    await db.sourceClient.query(/* sql */ `update m set v = 'later', k = (k + 60) % 190`);
    expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
    await expectSameRoot(db);
  });
}

test('keys move between partitions in order, also when one partition has no key and the target prints values inexactly', async () => {
  await using feed = await Feed.start(/* sql */ `
    create table m (id int, k int, f float8) partition by list (k);
    create table m_a partition of m for values in (2);
    create table m_b partition of m for values in (1);
    alter table m_a add primary key (id);
    alter table m_b replica identity full;`);
  await feed.target.query(
    /* sql */ `drop table m; create table public.m (id int primary key, k int, f float8)`,
  );
  await feed.target.query(`alter database ${feed.pair.target} set extra_float_digits = 0`);
  const relations = new Map<string, RowChange['relation']>();
  const through = (change: Change): Change => {
    if (change.kind === 'truncate') return change;
    const { name } = change.relation;
    const relation = relations.get(name) ?? {
      ...change.relation,
      destination: { schema: 'public', name: 'm' },
    };
    relations.set(name, relation);
    return { ...change, relation };
  };
  const apply = async (): Promise<void> => {
    const changes = (await feed.changes()).map(through);
    await using applier = await feed.open();
    await feed.applyWith(applier, changes);
  };
  const same = async (): Promise<void> => {
    const rows = /* sql */ `select id, k, f::numeric from m order by 1`;
    expect((await feed.target.query(rows)).rows).toEqual((await feed.source.query(rows)).rows);
  };
  await feed.source.query(
    /* sql */ `insert into m select i, 1, 0.1::float8 + i * 0.2 from generate_series(1, 50) i`,
  );
  await apply();
  await same();
  // The ids go from the partition without a key to the one with it, and back.
  await feed.source.query(/* sql */ `update m set k = 2`);
  await feed.source.query(/* sql */ `update m set f = f + 0.1 where id < 9`);
  await apply();
  await same();
  await feed.source.query(/* sql */ `update m set k = 1 where id > 10`);
  await feed.source.query(/* sql */ `delete from m where id in (3, 30)`);
  await apply();
  await same();
});

test('TRUNCATE of a partition by an enum whose labels have another order on the target resyncs the table', async () => {
  await using db = await freshPair();
  const tables = { ...VIA, viaPartitionRoot: ['public.part'] };
  const common = /* sql */ `create table part (id int, m mood, primary key (id, m))`;
  const migration = await startMigration(
    db,
    /* sql */ `create type mood as enum ('a', 'b', 'c'); ${common} partition by range (m);
    create table part_1 partition of part for values from ('a') to ('b');
    create table part_2 partition of part for values from ('b') to (maxvalue);
    insert into part values (1, 'a'), (2, 'b'), (3, 'c')`,
    tables,
    /* sql */ `create type mood as enum ('a', 'c', 'b'); ${common}`,
  );
  await db.sourceClient.query(/* sql */ `truncate part_1`);
  expect(await failureOf(db, migration, tables)).toMatchObject({ code: 'Resync' });
  await drainWithCopies(db, migration, tables);
  const rows = /* sql */ `select id, m from part order by 1`;
  const there = await db.targetClient.query(rows);
  expect(there.rows).toEqual((await db.sourceClient.query(rows)).rows);
  expect(there.rowCount).toBe(2);
});

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
  const streaming = streamChanges(migration, { ...OPTIONS, ...VIA }, work);
  streaming.catch(() => undefined);
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

test('a TRUNCATE of the root in the middle of a copy is applied exactly, whatever was copied before and after it', async () => {
  await using db = await freshPair();
  const migration = await start(db, 'hash');
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'changed' where table_name = 'm_rest'`,
  );
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; insert into m values (11000, 5, 'open around the snapshot')`);
  await resync(db, migration, VIA, async () => {
    await open.query(/* sql */ `commit`);
    await db.sourceClient.query(/* sql */ `truncate m`);
    await db.sourceClient.query(
      /* sql */ `insert into m select i, i % 200, 'again' from generate_series(1, 90) i`,
    );
  });
  await db.sourceClient.query(/* sql */ `update m set k = (k + 100) % 200 where id < 40`);
  for (let round = 0; round < 2; round += 1) await resync(db, migration, VIA);
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
});

test('partitions with their own replica identity stop with what to do; with FULL the right one of equal rows is found', async () => {
  await using db = await freshPair();
  const source = /* sql */ `
    create table m (id int not null, k int, v text) partition by list (k);
    create table m_1 partition of m for values in (1);
    create table m_2 partition of m for values in (2);
    alter table m_1 replica identity full; alter table m_2 replica identity full;
    create unique index m_2_own on m_2 (id);
    insert into m select 7, 1, 'equal' from generate_series(1, 60) i; insert into m values (7, 2, 'equal')`;
  const target = /* sql */ `create table m (id int, k int, v text) partition by hash (v);
    create table p0 partition of m for values with (modulus 2, remainder 0);
    create table p1 partition of m for values with (modulus 2, remainder 1);`;
  const migration = await startMigration(db, source, VIA, target);
  await db.sourceClient.query(/* sql */ `update m_2 set v = 'of the second' where id = 7`);
  await db.sourceClient.query(/* sql */ `update m_1 set v = 'one' where ctid = '(0,1)';
      update m set k = 2, id = 8 where tableoid = 'm_1'::regclass and ctid = '(0,2)'`);
  await db.sourceClient.query(
    /* sql */ `insert into m select 9, 1, 'many' from generate_series(1, 80) i; delete from m where id = 9`,
  );
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
  await db.sourceClient.query(/* sql */ `alter table m_2 replica identity using index m_2_own`);
  const failure = await failureOf(db, migration, VIA);
  expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.m_2' } });
  expect(failure?.message).toContain('unique only within the partition');
});

test('a partition whose changes were identified by its own index is resynced once it is FULL as the message asks', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `
    create table m (id int not null, k int, v text) partition by list (k);
    create table m_1 partition of m for values in (1); create table m_2 partition of m for values in (2);
    alter table m_1 replica identity full; alter table m_2 replica identity full;
    create unique index m_2_own on m_2 (id);
    insert into m values (7, 1, 'a'), (7, 2, 'b')`,
    VIA,
    /* sql */ `create table m (id int not null, k int, v text)`,
  );
  await db.sourceClient.query(/* sql */ `alter table m_2 replica identity using index m_2_own`);
  await db.sourceClient.query(/* sql */ `update m_2 set v = 'c' where id = 7`);
  expect((await failureOf(db, migration, VIA))?.message).toContain('REPLICA IDENTITY FULL');
  await db.sourceClient.query(/* sql */ `alter table m_2 replica identity full`);
  const copied = await drainWithCopies(db, migration, VIA);
  expect(copied.join()).toContain('public.m_2 has a change at');
  await expectSameRoot(db);
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

test('a column that only the source dropped is reported once, under the name of the root', async () => {
  await using db = await freshPair();
  const columns = /* sql */ `id int, k int, v text, w int, primary key (id, k)`;
  const migration = await startMigration(
    db,
    /* sql */ `create table m (${columns}) partition by list (k);
      create table m_1 partition of m for values in (1); create table m_2 partition of m for values in (2);
      insert into m select i, 1 + i % 2, 'x', i from generate_series(1, 20) i`,
    VIA,
    /* sql */ `create table m (${columns})`,
  );
  await db.sourceClient.query(/* sql */ `update m set v = 'before' where id = 3`);
  await db.sourceClient.query(/* sql */ `alter table m drop column w`);
  await db.sourceClient.query(/* sql */ `update m set v = 'after' where id = 5`);
  const failure = await failureOf(db, migration, VIA);
  expect(failure).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.m', column: 'w' },
  });
  expect(failure?.message.match(/m\.w/g)).toHaveLength(1);
  await db.targetClient.query(/* sql */ `alter table m drop column w`);
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
});

test('unchanged TOASTed values of moved rows, NaN, and columns added on both sides arrive through the root', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `
    create table m (id int, k int, big text, n float8, primary key (id, k)) partition by list (k);
    create table m_1 partition of m for values in (1); create table m_2 partition of m for values in (2);
    alter table m_1 alter big set storage external; alter table m_2 alter big set storage external;
    insert into m select i, 1, repeat('x', 5000), i from generate_series(1, 70) i`,
    VIA,
    /* sql */ `create table m (n float8, big text, id int, k int, primary key (id));
      alter table m alter big set storage external`,
  );
  await db.sourceClient.query(
    /* sql */ `update m set k = 2 where id < 60; update m set id = id + 1000`,
  );
  await db.sourceClient.query(
    /* sql */ `update m set n = 'NaN' where k = 1; update m set k = 1 where id < 1010`,
  );
  const added = /* sql */ `alter table public.m add column late int default 5`;
  await db.sourceClient.query(added);
  await db.sourceClient.query(/* sql */ `update m set late = 6 where k = 1`);
  expect(await failureOf(db, migration, VIA)).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.m', column: 'late' },
  });
  await db.targetClient.query(added);
  expect(await drainWithCopies(db, migration, VIA)).toEqual([]);
  await expectSameRoot(db);
});

test('the counts of the cutover compare the root with all partitions, and name the root', async () => {
  await using db = await freshPair();
  const migration = await start(db, 'hash');
  const parsed = parseInput({ source: db.source, target: db.target, tables: VIA });
  if (!parsed.ok) throw new Error(parsed.message);
  expect(await compareCounts(migration, parsed.input, testWork())).toEqual({
    tables: 2,
    rows: 402,
  });
  await db.targetClient.query(/* sql */ `delete from m where id = 17`);
  await expect(compareCounts(migration, parsed.input, testWork())).rejects.toMatchObject({
    code: 'NotEqual',
    message: expect.stringContaining('public.m (source 401, target 400)') as string,
  });
});

test('a stopped change names the partition and the table that it was applied to', async () => {
  await using db = await freshPair();
  const migration = await start(db);
  await db.targetClient.query(/* sql */ `delete from m where id = 3`);
  await db.sourceClient.query(/* sql */ `update m set v = 'not there' where id = 3`);
  await expect(drain(db, migration, VIA)).rejects.toMatchObject({
    code: 'RowMissing',
    message: expect.stringContaining('update of public.m_1 (through public.m)') as string,
  });
});
