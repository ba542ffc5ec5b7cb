/** Tables that are created, dropped or lose their identity while the stream runs; each test ends with an exact comparison. */
import type { Client } from 'pg';
import { expect, test } from 'vitest';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { drain, EVERYTHING, expectSame, startMigration } from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id int primary key, v text); insert into t values (1, 'one'), (2, 'two');`;

const PARTITIONED = /* sql */ `
  create table part (id int, v text, primary key (id)) partition by range (id);
  create table part_1 partition of part for values from (0) to (100);
  insert into part values (1, 'a'), (50, 'b');`;

async function names(db: FreshPair): Promise<string[]> {
  const { rows } = await db.targetClient.query<{ name: string }>(
    /* sql */ `select table_name as name from walferry.relation where state <> 'dropped' order by 1`,
  );
  return rows.map(({ name }) => name);
}

test('a table created while streaming is named, created on the target, and all its rows arrive', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const made = /* sql */ `create table public.later (id int primary key, v text)`;
  await db.sourceClient.query(made);
  await db.sourceClient.query(
    /* sql */ `insert into later values (1, 'a'), (2, 'b'); insert into t values (3, 'c')`,
  );
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'UnknownRelation',
    details: { table: 'public.later' },
  });
  await db.sourceClient.query(
    /* sql */ `update later set v = 'z' where id = 1; delete from later where id = 2`,
  );
  await db.targetClient.query(made);
  expect((await drainWithCopies(db, migration)).join()).toContain(
    'public.later is new in the selection',
  );
  await db.sourceClient.query(
    /* sql */ `insert into later values (4, 'd'); update later set id = 9 where id = 1`,
  );
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('rows that move between partitions arrive while one partition is created, one attached with rows, one detached and one dropped', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, PARTITIONED);
  const made = /* sql */ `create table public.part_2 partition of part for values from (100) to (200)`;
  await db.sourceClient.query(made);
  await db.sourceClient.query(
    /* sql */ `insert into part values (150, 'c'); update part set id = 160 where id = 50`,
  );
  expect(await failureOf(db, migration)).toMatchObject({ code: 'UnknownRelation' });
  await db.targetClient.query(made);
  await drainWithCopies(db, migration);
  await expectSame(db);
  await db.sourceClient
    .query(/* sql */ `create table public.old (id int primary key, v text); insert into old values (201, 'old');
    alter table part attach partition old for values from (200) to (300); update part set id = 202 where id = 1`);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'UnknownRelation',
    details: { table: 'public.old' },
  });
  await db.targetClient.query(/* sql */ `create table public.old (id int primary key, v text);
    alter table part attach partition old for values from (200) to (300)`);
  await drainWithCopies(db, migration);
  await expectSame(db);
  const detached = /* sql */ `alter table part detach partition part_2`;
  await db.sourceClient.query(detached);
  await db.sourceClient.query(/* sql */ `insert into part_2 values (5, 'alone'); drop table old`);
  await db.targetClient.query(detached);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.old' },
  });
  await db.targetClient.query(/* sql */ `drop table old`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
  expect(await names(db)).toEqual(['part', 'part_1', 'part_2']);
});

test('a partition that takes over rows from the default partition arrives with all its rows: the message says how to create it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${PARTITIONED} create table part_rest partition of part default; insert into part values (150, 'c'), (250, 'd')`,
  );
  const attach = /* sql */ `alter table public.part attach partition public.part_2 for values from (100) to (200)`;
  await db.sourceClient.query(/* sql */ `
    create table public.part_2 (like public.part including all);
    with moved as (delete from part_rest where id between 100 and 199 returning *) insert into part_2 select * from moved;
    ${attach}`);
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({ code: 'UnknownRelation' });
  expect(failure?.message).toMatch(
    /rows of public\.part_2: create .* as a separate table .*, resume, and attach it/,
  );
  // The obvious statement is the one that cannot work.
  await expect(
    db.targetClient.query(
      `create table public.part_2 partition of public.part for values from (100) to (200)`,
    ),
  ).rejects.toMatchObject({ code: '23514' });
  await db.targetClient.query(`create table public.part_2 (like public.part including all)`);
  await drainWithCopies(db, migration);
  await db.targetClient.query(attach);
  await db.sourceClient.query(
    /* sql */ `update part set v = 'later'; insert into part values (151, 'e')`,
  );
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('a table outside the selection that is renamed into it arrives with the rows from before', async () => {
  await using db = await freshPair();
  const selection = { include: ['public.*'], exclude: ['public.tmp_*'] };
  const migration = await startMigration(
    db,
    `${TABLE} create table tmp_import (id int primary key, v text); insert into tmp_import values (1, 'old row')`,
    selection,
  );
  await db.sourceClient.query(/* sql */ `insert into tmp_import values (2, 'not moved')`);
  await db.targetClient.query(/* sql */ `truncate tmp_import`);
  expect(await drainWithCopies(db, migration, selection)).toEqual([]);
  const rename = /* sql */ `alter table tmp_import rename to import`;
  await db.sourceClient.query(`${rename}; insert into import values (3, 'moved')`);
  expect(await failureOf(db, migration, selection)).toMatchObject({ code: 'UnknownRelation' });
  await db.targetClient.query(`${rename}; insert into import values (9, 'in the way')`);
  const filled = await failureOf(db, migration, selection);
  expect(filled?.message).toContain('already holds rows on the target');
  await db.targetClient.query(/* sql */ `truncate import`);
  await drainWithCopies(db, migration, selection);
  await expectSame(db);
});

test('a table dropped while streaming leaves the plan when the target drops it, too; its earlier changes do no harm', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    `${TABLE} create table gone (id int primary key); insert into gone values (1)`,
  );
  await db.sourceClient.query(
    /* sql */ `insert into gone values (2); insert into t values (3, 'c')`,
  );
  await db.sourceClient.query(/* sql */ `drop table gone`);
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.gone' } });
  expect(failure?.message).toContain('drop it on the target');
  await db.targetClient.query(/* sql */ `drop table gone`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
  expect(await names(db)).toEqual(['t']);
});

test('a table renamed on both sides keeps all its changes, from before and after', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'before')`);
  await db.sourceClient.query(
    /* sql */ `alter table t rename to u; update u set v = 'after' where id = 1`,
  );
  const failure = await failureOf(db, migration);
  expect(failure?.message).toContain('is named public.u on the source now');
  await db.targetClient.query(/* sql */ `alter table t rename to u`);
  await drainWithCopies(db, migration);
  await expectSame(db);
  expect(await names(db)).toEqual(['u']);
});

test('a scratch table that is created, filled and dropped stops nothing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(
    /* sql */ `create table scratch (a int); insert into scratch values (1); drop table scratch`,
  );
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'c')`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('a table that lost its primary key and has it again is resynced: what was not sent arrives', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `alter table t drop constraint t_pkey`);
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'c')`);
  await db.sourceClient.query(/* sql */ `update t set v = 'not sent' where id = 1`);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'StreamWarning',
    details: { table: 'public.t' },
  });
  const waits = await failureOf(db, migration);
  expect(waits?.message).toContain('has no replica identity');
  await db.sourceClient.query(
    /* sql */ `delete from t where id = 2; alter table t add primary key (id)`,
  );
  await db.sourceClient.query(/* sql */ `update t set v = 'sent' where id = 3`);
  expect((await drainWithCopies(db, migration)).length).toBeGreaterThan(0);
  await expectSame(db);
  await db.sourceClient.query(/* sql */ `update t set v = 'later' where id = 1`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('a resync meets the stream exactly while writers continue, also for transactions that are open around it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await using open = await connectTo(db.source);
  await db.sourceClient.query(/* sql */ `alter table t alter v type varchar(40)`);
  await db.targetClient.query(/* sql */ `alter table t alter v type varchar(40)`);
  await open.query(/* sql */ `begin; insert into t values (10, 'open during the copy')`);
  let running = true;
  let id = 100;
  const writing = (async () => {
    while (running) {
      await db.sourceClient.query(
        /* sql */ `insert into t values (${id}, 'w'); update t set v = v || '.' where id > ${id - 5}`,
      );
      id += 1;
    }
  })();
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({ code: 'Resync' });
  const copies = drainWithCopies(db, migration);
  await copies;
  await open.query(/* sql */ `commit`);
  running = false;
  await writing;
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

/** What makes the stream give up a table in the middle of a transaction whose first changes are already applied. */
const GIVEN_UP: readonly {
  readonly title: string;
  readonly before: string;
  readonly shows: readonly string[];
  readonly says: string;
  readonly after: string;
}[] = [
  {
    title: 'a change that was not sent',
    before: /* sql */ `alter table t replica identity nothing`,
    shows: [/* sql */ `delete from t where id = 1`],
    says: 'StreamWarning',
    after: /* sql */ `alter table t replica identity default`,
  },
  {
    title: 'a change that matches the columns neither before nor after the DDL',
    before: '',
    shows: [
      /* sql */ `alter table t rename v to w`,
      /* sql */ `update t set w = 'x' where id = 1`,
      /* sql */ `alter table t rename w to v`,
    ],
    says: 'Resync',
    after: '',
  },
];

for (const { title, before, shows, says, after } of GIVEN_UP) {
  test(`${title} in the middle of a huge transaction: none of its changes is committed, and a resync of the table is recorded`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      `${TABLE} create table keyless (n int); alter table keyless replica identity full`,
    );
    await db.sourceClient.query(before);
    await db.sourceClient.query(/* sql */ `begin`);
    await db.sourceClient.query(
      /* sql */ `insert into keyless select i from generate_series(1, 3000) i`,
    );
    for (const sql of shows) await db.sourceClient.query(sql);
    await db.sourceClient.query(
      /* sql */ `insert into keyless select i from generate_series(3001, 4000) i`,
    );
    await db.sourceClient.query(/* sql */ `commit`);
    // Pieces of 100: thirty are on the target, or being sent, when the table is given up.
    await expect(drain(db, migration, { batchChanges: 100 })).rejects.toMatchObject({ code: says });
    const arrived = await db.targetClient.query(/* sql */ `select from keyless`);
    expect(arrived.rowCount).toBe(0);
    const noted = await db.targetClient.query(
      /* sql */ `select table_name as name from walferry.relation where state = 'resync'`,
    );
    expect(noted.rows).toEqual([{ name: 't' }]);
    await db.sourceClient.query(after);
    await drainWithCopies(db, migration);
    await expectSame(db);
  });
}

test('a TRUNCATE of two tables, one of which was resynced since, empties the other although the first refers to it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `
    create table b (id int primary key);
    create table a (id int primary key, v text, b int references b);
    insert into b values (1), (2); insert into a values (1, 'one', 1)`,
  );
  await db.sourceClient.query(/* sql */ `truncate b cascade`);
  await db.sourceClient.query(
    /* sql */ `insert into b values (3); insert into a values (3, 'c', 3)`,
  );
  for (const side of [db.sourceClient, db.targetClient]) {
    await side.query(/* sql */ `alter table public.a alter v type varchar(40)`);
  }
  expect((await drainWithCopies(db, migration)).length).toBeGreaterThan(0);
  await expectSame(db);
});

// Selected only through its root, it leaves the selection once it is a separate table: the operator decides.
for (const [selection, asked] of [
  [EVERYTHING, null],
  [{ include: ['public.part'], exclude: [] }, 'SchemaDrift'],
] as const) {
  test(`a partition that is detached CONCURRENTLY while it is written loses no change, neither half detached nor afterwards, selected by ${selection.include.join()}`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      /* sql */ `${PARTITIONED}; create table part_2 partition of part for values from (100) to (200);
        insert into part values (150, 'c')`,
      selection,
    );
    await drainWithCopies(db, migration, selection);
    await using reader = await connectTo(db.source);
    await reader.query(/* sql */ `begin isolation level repeatable read; select from part`);
    await using other = await connectTo(db.source);
    const detached = other.query(/* sql */ `alter table part detach partition part_2 concurrently`);
    await until('the partition to be half detached', async () => {
      const { rows } = await db.sourceClient.query(
        /* sql */ `select from pg_inherits where inhdetachpending`,
      );
      return rows.length === 1;
    });
    await db.sourceClient.query(
      /* sql */ `insert into part_2 values (160, 'half'); update part_2 set v = 'half' where id = 150; insert into part values (60, 'x')`,
    );
    const rowsOf = async (client: Client, table: string) =>
      (await client.query<{ id: number }>(`select id, v from ${table} order by id`)).rows;
    expect(await drainWithCopies(db, migration, selection)).toEqual([]);
    for (const table of ['part_1', 'part_2']) {
      expect(await rowsOf(db.targetClient, table)).toEqual(await rowsOf(db.sourceClient, table));
    }
    await reader.query(/* sql */ `commit`);
    await detached;
    await db.sourceClient.query(/* sql */ `insert into part_2 values (170, 'alone')`);
    const failure = await failureOf(db, migration, selection);
    expect(failure?.code ?? null).toBe(asked);
    if (failure) expect(failure.details).toEqual({ table: 'public.part_2' });
    else {
      expect(await rowsOf(db.targetClient, 'part_2')).toEqual(
        await rowsOf(db.sourceClient, 'part_2'),
      );
    }
  });
}
