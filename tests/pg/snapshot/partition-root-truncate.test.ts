/** TRUNCATE of a root, of a part of it and of single partitions, when their rows go through the root on the target. */
import { expect, test } from 'vitest';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { startMigration } from '../../support/stream.ts';
import { VIA, start, expectSameRoot } from './rooted-tables.ts';

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
