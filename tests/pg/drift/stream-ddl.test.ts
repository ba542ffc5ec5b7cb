/**
 * DDL while the stream runs, on real servers. Every test ends with an exact comparison of all rows, after the operator did on the
 * target what the refusal says.
 */
import { expect, test } from 'vitest';
import { streamChanges } from '../../support/lease.ts';
import { observed } from '../../support/observed.ts';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair } from '../../support/database.ts';
import {
  endMark,
  expectSame,
  OPTIONS,
  untilStreaming,
  startMigration,
  storedLsn,
  testWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id int primary key, v text, n numeric(10,2));
  insert into t select i, 'row ' || i, i from generate_series(1, 200) i`;

/** DDL and changes around it: what the stream reports before the target follows, and what it costs. */
const CASES: readonly {
  readonly title: string;
  readonly source: readonly string[];
  readonly target: string;
  readonly says: RegExp;
  readonly copies: boolean;
}[] = [
  {
    title: 'an added column',
    source: [
      `insert into t values (1001, 'before', 1)`,
      `alter table t add extra int`,
      `insert into t values (1002, 'after', 2, 22); update t set extra = id where id < 10`,
    ],
    target: `alter table t add extra int`,
    says: /public\.t\.extra is missing on the target/,
    copies: false,
  },
  {
    title: 'an added column with a constant default',
    source: [
      `update t set v = 'x' where id = 1`,
      `alter table t add extra text[] default '{"a b",c}'`,
      `insert into t values (1002, 'after', 2); delete from t where id = 3`,
    ],
    target: `alter table t add extra text[] default '{"a b",c}'`,
    says: /extra is missing/,
    copies: false,
  },
  {
    title: 'an added column with a volatile default',
    source: [
      `update t set v = 'x' where id = 1`,
      `alter table t add seen timestamptz default now()`,
      `insert into t values (1002, 'after', 2)`,
    ],
    target: `alter table t add seen timestamptz default now()`,
    says: /seen is missing/,
    copies: true,
  },
  {
    title: 'an added column filled by a rewrite',
    source: [
      `alter table t add u uuid default gen_random_uuid()`,
      `insert into t values (1002, 'after', 2)`,
    ],
    target: `alter table t add u uuid default gen_random_uuid()`,
    says: /u is missing/,
    copies: true,
  },
  {
    title: 'a dropped column',
    source: [
      `insert into t values (1001, 'before', 1)`,
      `alter table t drop v`,
      `insert into t values (1002, 2); update t set n = 7 where id = 5`,
    ],
    target: `alter table t drop v`,
    says: /public\.t\.v is gone on the source/,
    copies: false,
  },
  {
    title: 'a renamed column',
    source: [
      `insert into t values (1001, 'before', 1)`,
      `alter table t rename v to w`,
      `update t set w = 'renamed' where id = 9; insert into t values (1002, 'after', 2)`,
    ],
    target: `alter table t rename v to w`,
    says: /public\.t\.w is missing on the target/,
    copies: false,
  },
  {
    title: 'a renamed key column',
    source: [`alter table t rename id to code`, `update t set v = 'renamed' where code = 9`],
    target: `alter table t rename id to code`,
    says: /code is missing/,
    copies: false,
  },
  {
    title: 'a type with more decimals, whose values the target would round without an error',
    source: [
      `insert into t values (1001, 'before', 1.25)`,
      `alter table t alter n type numeric(12,4)`,
      `insert into t values (1002, 'after', 1.2345)`,
    ],
    target: `alter table t alter n type numeric(12,4)`,
    says: /n is numeric\(12,4\) on the source, numeric\(10,2\)/,
    copies: true,
  },
  {
    title: 'DDL and changes of both shapes in one transaction',
    source: [
      `begin; insert into t values (1001, 'before', 1); alter table t add extra int default 5;
       insert into t values (1002, 'after', 2, 22); alter table t drop v;
       insert into t values (1003, 3, 33); commit`,
    ],
    target: `alter table t add extra int default 5; alter table t drop v`,
    says: /extra is missing/,
    copies: true,
  },
  {
    title: 'another primary key',
    source: [
      `update t set v = 'x' where id = 1`,
      `alter table t add code text; update t set code = 'c' || id; alter table t alter code set not null`,
      `alter table t drop constraint t_pkey; alter table t add primary key (code)`,
      `update t set v = 'y' where id = 2; delete from t where id = 4`,
    ],
    target: `alter table t add code text; alter table t drop constraint t_pkey`,
    says: /code is missing/,
    copies: false,
  },
];

for (const { title, source, target, says, copies } of CASES) {
  test(`${title}: refused at the first change that shows it, with everything before it applied; after the same DDL on the target, all rows are exact`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLE);
    for (const sql of source) await db.sourceClient.query(sql);
    const before = await storedLsn(db, migration);
    const failure = await failureOf(db, migration);
    expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.t' } });
    expect(failure?.message).toMatch(says);
    expect(await failureOf(db, migration)).toMatchObject({ code: 'SchemaDrift' }); // as long as nothing is done
    await db.targetClient.query(target);
    const copied = await drainWithCopies(db, migration);
    await expectSame(db);
    expect(copied.length > 0).toBe(copies);
    expect(await storedLsn(db, migration)).not.toBe(before);
    // The difference was recorded: the next lease finds nothing unknown.
    await db.sourceClient.query(`delete from t where n = 2`);
    expect(await drainWithCopies(db, migration)).toEqual([]);
    await expectSame(db);
  });

  test(`${title}: done on the target before the stream gets there, and all rows are exact`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLE);
    for (const sql of source) await db.sourceClient.query(sql);
    await db.targetClient.query(target);
    await drainWithCopies(db, migration);
    await expectSame(db);
  });

  test(`${title}: in the middle of a running lease, found before anything of it is committed`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLE);
    const streaming = observed(streamChanges(migration, OPTIONS, testWork()));
    await untilStreaming(db, migration);
    for (const sql of source) await db.sourceClient.query(sql);
    await expect(streaming).rejects.toMatchObject({ code: 'SchemaDrift' });
    await db.targetClient.query(target);
    await drainWithCopies(db, migration);
    await expectSame(db);
  });
}

/** DDL that no change shows: the same names and types before and after it, and other values. */
const TRACELESS: readonly (readonly [
  title: string,
  ddl: string,
  source: string,
  target: string,
])[] = [
  [
    'a type changed to itself with other values',
    TABLE,
    `alter table t alter n type numeric(10,2) using n * 2`,
    '',
  ],
  [
    'two columns of one type that swap their names',
    `create table t (id int primary key, a text, b text);
    insert into t select i, 'a' || i, 'b' || i from generate_series(1, 50) i`,
    `alter table t rename a to x; alter table t rename b to a; alter table t rename x to b`,
    `alter table t rename a to x; alter table t rename b to a; alter table t rename x to b`,
  ],
  [
    'the last column dropped and added again',
    TABLE,
    `alter table t drop n; alter table t add n numeric(10,2)`,
    `alter table t drop n; alter table t add n numeric(10,2)`,
  ],
  [
    'a table recreated under its name',
    TABLE,
    `drop table t; create table t (id int primary key, v text, n numeric(10,2));
    insert into t values (7, 'new', 7)`,
    '',
  ],
  [
    'a table replaced by another one',
    TABLE,
    `create table t_new (like t including all); insert into t_new values (8, 'new', 8);
    alter table t rename to t_old; alter table t_new rename to t; drop table t_old`,
    '',
  ],
  [
    'a column added and dropped, and another one added under its name',
    TABLE,
    `alter table t add c int; update t set c = 1; alter table t drop c; alter table t add c int`,
    `alter table t add c int`,
  ],
  [
    'a column renamed and renamed back',
    TABLE,
    `alter table t rename v to w; update t set w = 'x' where id = 1; alter table t rename w to v`,
    '',
  ],
];

for (const [title, ddl, source, target] of TRACELESS) {
  test(`${title}: no change shows it, and the rows are exact after a resync of only that table`, async () => {
    await using db = await freshPair();
    const other = /* sql */ `create table other (id int primary key); insert into other values (1);`;
    const migration = await startMigration(db, other + ddl);
    await db.sourceClient.query(/* sql */ `insert into other values (2)`);
    for (const sql of source.split(';')) await db.sourceClient.query(sql);
    await db.sourceClient.query(
      /* sql */ `update t set id = id + 5000 where id < 20; insert into other values (3)`,
    );
    if (target !== '') await db.targetClient.query(target);
    const copied = await drainWithCopies(db, migration);
    expect(copied.join('; ')).toMatch(/resynced: public\.t /);
    expect(copied.join('; ')).not.toContain('public.other');
    await expectSame(db);
  });
}

test('when two columns swap their names in the middle of a lease, no change with the new meaning is committed before it is found', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, a text, b text); insert into t values (1, 'a', 'b')`,
  );
  const streaming = observed(streamChanges(migration, OPTIONS, testWork()));
  await untilStreaming(db, migration);
  // One of the two is missing, like an unchanged TOASTed value: the names alone fit both meanings.
  const { rows } = await db.sourceClient.query<{ big: string }>(
    /* sql */ `select string_agg(md5(i::text), '') as big from generate_series(1, 2000) i`,
  );
  await db.sourceClient.query(
    /* sql */ `insert into t values (2, 'a', $1)`.replace('$1', `'${rows[0]?.big}'`),
  );
  await until('the row', async () => {
    const there = await db.targetClient.query(/* sql */ `select from t where id = 2`);
    return there.rowCount === 1;
  });
  await db.sourceClient
    .query(/* sql */ `begin; alter table t rename a to x; alter table t rename b to a; alter table t rename x to b;
               update t set b = 'changed' where id = 2; commit`);
  await expect(streaming).rejects.toMatchObject({ code: 'Resync' });
  const there = await db.targetClient.query(
    /* sql */ `select a, length(b) as b from t where id = 2`,
  );
  expect(there.rows).toEqual([{ a: 'a', b: 64_000 }]);
  await db.targetClient.query(
    /* sql */ `alter table t rename a to x; alter table t rename b to a; alter table t rename x to b`,
  );
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('VACUUM FULL, CLUSTER, TRUNCATE, statistics, storage, defaults, NOT NULL and grants stop nothing and copy nothing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const change = (id: number): Promise<unknown> =>
    db.sourceClient.query(/* sql */ `insert into t values (${id}, 'x', 1)`);
  for (const sql of [
    `vacuum full t`,
    `cluster t using t_pkey`,
    `alter table t alter v set statistics 100`,
    `alter table t alter v set default 'd'`,
    `alter table t alter v set storage external`,
    `alter table t alter n set not null`,
    `grant select (v) on t to public`,
    `create index on t (v); analyze t`,
  ]) {
    await db.sourceClient.query(sql);
    await change(2000 + sql.length);
    expect(await drainWithCopies(db, migration)).toEqual([]);
  }
  await db.sourceClient.query(/* sql */ `truncate t`);
  await change(1);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('a column that the source renamed, and that was dropped and added again on the target, causes a resync', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `alter table t rename n to m`);
  await db.targetClient.query(/* sql */ `alter table t drop n; alter table t add m numeric(10,2)`);
  expect((await drainWithCopies(db, migration)).length).toBeGreaterThan(0);
  await expectSame(db);
});

test('a drain does not complete while the target lacks DDL that no change has shown', async () => {
  await using db = await freshPair();
  const other = /* sql */ `create table other (id int primary key);`;
  const migration = await startMigration(db, other + TABLE);
  await db.sourceClient.query(/* sql */ `alter table t add extra int default 5`);
  const end = await endMark(db);
  // Fills a batch: nothing after it is received, not even the mark that the drain itself writes after the DDL.
  await db.sourceClient.query(/* sql */ `insert into other values (1)`);
  const draining = streamChanges(
    migration,
    { ...OPTIONS, until: end, batchChanges: 1 },
    testWork(),
  );
  await expect(draining).rejects.toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.t', column: 'extra' },
  });
  await db.targetClient.query(/* sql */ `alter table t add extra int default 5`);
  await drainWithCopies(db, migration);
  await expectSame(db);
});
