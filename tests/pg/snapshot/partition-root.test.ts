/**
 * Rows that go through the root of their partition on the target, which is plain or partitioned differently there: moves, keys,
 * identities, and what is reported. Each test ends with an exact comparison.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import type { Change, RowChange } from '../../../postgres/apply/change.ts';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair } from '../../support/database.ts';
import { drain, startMigration, testWork } from '../../support/stream.ts';
import { Feed } from '../apply/apply-feed.ts';
import { VIA, start, expectSameRoot } from './rooted-tables.ts';

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
