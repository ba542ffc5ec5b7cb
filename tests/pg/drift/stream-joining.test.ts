/**
 * Tables that enter the selection during a lease, after some of their changes were skipped: by the plugin, whose filter the lease
 * has set, or by the lease itself, which ignores a name.
 */
import { expect, test } from 'vitest';
import type { Selection } from '../../../postgres/catalog/selection.ts';
import { streamChanges } from '../../support/lease.ts';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { OPTIONS, startMigration, testWork, untilStreaming } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { compare } from '../../../scripts/compare/databases.ts';

const SELECTION: Selection = {
  include: ['app.m', 'app.other', 'app.moved', 'app.renamed'],
  exclude: [],
  viaPartitionRoot: ['app.m'],
};
const OTHER = /* sql */ `create table app.other (id int primary key, v int); insert into app.other values (1, 0);`;
const SOURCE = /* sql */ `
  create schema app; create schema parts;
  create table app.m (id int, v text, primary key (id)) partition by range (id);
  create table app.m_1 partition of app.m for values from (0) to (1000);
  insert into app.m select i, 'copied' from generate_series(1, 10) i;
  ${OTHER}`;
const TARGET = /* sql */ `create schema app; create table app.m (id int primary key, v text); ${OTHER}`;

/** Runs the statements while one lease streams, and ends that lease when it has applied them. */
async function inOneLease(
  db: FreshPair,
  migration: Awaited<ReturnType<typeof startMigration>>,
  statements: readonly string[],
): Promise<void> {
  const work = testWork();
  const streaming = streamChanges(migration, { ...OPTIONS, ...SELECTION }, work);
  streaming.catch(() => undefined);
  await untilStreaming(db, migration);
  for (const sql of statements) {
    await db.sourceClient.query(sql);
    await passed(db, streaming);
  }
  work.abort();
  await streaming.catch(() => undefined);
}

/** A change committed after everything else is on the target, or the lease ended before it. */
async function passed(db: FreshPair, streaming: Promise<unknown>): Promise<void> {
  let ended = false;
  void streaming.catch(() => undefined).finally(() => (ended = true));
  const { rows } = await db.sourceClient.query<{ v: number }>(
    /* sql */ `update app.other set v = v + 1 returning v`,
  );
  await until('the lease to pass the statement', async () => {
    const there = await db.targetClient.query<{ v: number }>(/* sql */ `select v from app.other`);
    return ended || there.rows[0]?.v === rows[0]?.v;
  });
}

async function expectSame(db: FreshPair): Promise<void> {
  const { tables } = await compare({
    ...{ source: db.source, target: db.target, include: ['app.*'], exclude: ['app.left*'] },
    ...{ sequences: false, md5: false, show: 5 },
  });
  expect(tables.filter(({ equal }) => !equal)).toEqual([]);
  expect(tables.map(({ table }) => table)).toContain('app.m');
}

const PARTITION = /* sql */ `create table app.m_2 partition of app.m for values from (1000) to (2000)`;
const FILL = /* sql */ `insert into app.m select i, 'new' from generate_series(1001, 1100) i`;

const ENTERING: readonly {
  readonly title: string;
  readonly before?: string;
  readonly sql: readonly string[];
}[] = [
  {
    title: 'a schema that the lease did not request',
    sql: [
      /* sql */ `create table parts.m_2 partition of app.m for values from (1000) to (2000)`,
      FILL,
    ],
  },
  {
    title: 'a schema that the lease did not request, in the transaction that fills it',
    sql: [
      /* sql */ `begin; create table parts.m_2 partition of app.m for values from (1000) to (2000); ${FILL}; commit`,
    ],
  },
  {
    title: 'a schema that did not exist, one level down',
    sql: [
      /* sql */ `create schema more;
        create table app.m_2 partition of app.m for values from (1000) to (2000) partition by range (id)`,
      /* sql */ `create table more.m_2_1 partition of app.m_2 for values from (1000) to (2000)`,
      FILL,
    ],
  },
  {
    title: 'the name of a table without replica identity that is not selected',
    before: /* sql */ `create table app.m_2 (x int)`,
    sql: [/* sql */ `insert into app.m_2 values (1)`, `drop table app.m_2; ${PARTITION}`, FILL],
  },
  {
    title: 'the name of a table that is not selected, whose changes the lease skipped',
    before: /* sql */ `create table app.m_2 (x int primary key)`,
    sql: [/* sql */ `insert into app.m_2 values (1)`, `drop table app.m_2; ${PARTITION}`, FILL],
  },
  {
    title: 'the name of a table that was created, filled and dropped during the lease',
    sql: [
      /* sql */ `create table app.m_2 (x int primary key); insert into app.m_2 values (1); drop table app.m_2`,
      PARTITION,
      FILL,
    ],
  },
  {
    title: 'the name of a partitioned partition',
    before: /* sql */ `create table app.m_2 partition of app.m for values from (1000) to (2000) partition by range (id);
      create table app.m_2_1 partition of app.m_2 for values from (1000) to (1500)`,
    sql: [
      /* sql */ `begin; drop table app.m_2; ${PARTITION}; commit`,
      FILL,
      /* sql */ `insert into app.m values (1900, 'later')`,
    ],
  },
];

/** A member of an extension is not selected, and nothing shows that a table was one. */
const MEMBER = {
  before: /* sql */ `create extension hstore`,
  made: /* sql */ `begin; ${PARTITION}; alter extension hstore add table app.m_2; commit`,
  back: /* sql */ `alter extension hstore drop table app.m_2`,
};

test.each([
  { title: 'filled', sql: [MEMBER.made, FILL, MEMBER.back] },
  {
    title: 'updated, with equal counts,',
    sql: [
      `${PARTITION}; ${FILL}`,
      `alter extension hstore add table app.m_2`,
      /* sql */ `update app.m set v = 'member' where id > 1000`,
      MEMBER.back,
    ],
  },
])(
  'a partition that was $title as a member of an extension in the middle of a lease arrives whole',
  async ({ sql }) => {
    await using db = await freshPair();
    const migration = await startMigration(db, `${SOURCE} ${MEMBER.before}`, SELECTION, TARGET);
    await inOneLease(db, migration, sql);
    await drainWithCopies(db, migration, SELECTION);
    await expectSame(db);
  },
);

test('a partition that was not part of its tree’s copy does not join without a resync, however old it is', async () => {
  await using db = await freshPair();
  // Older than the tree, otherwise it would count as renamed; the largest unselected tables are excluded by name.
  await db.sourceClient.query(/* sql */ `create schema app; create schema parts`);
  const large = Array.from(
    { length: 21 },
    (_, i) =>
      /* sql */ `create table parts.large_${i} as select i, repeat('x', 100) from generate_series(1, 500) i;`,
  ).join(' ');
  await db.sourceClient.query(
    `${SOURCE.replace(/create schema app; create schema parts;/, '')} ${MEMBER.before}; ${PARTITION}; ${FILL}; ${large}`,
  );
  await db.sourceClient.query(/* sql */ `analyze`);
  await db.sourceClient.query(/* sql */ `alter extension hstore add table app.m_2`);
  const migration = await startMigration(db, 'select 1', SELECTION, TARGET);
  await drainWithCopies(db, migration, SELECTION);
  await db.sourceClient.query(MEMBER.back);
  expect((await drainWithCopies(db, migration, SELECTION)).join()).toContain('app.m_2');
  await expectSame(db);
});

/** While a partition joins its tree, another table is copied. */
const COPIED = /* sql */ `create table app.moved (id int primary key)`;

test.each([
  {
    title: 'had another name',
    sql: [`alter table app.m_2 rename to left_x`, `alter table app.left_x rename to m_2`],
  },
  {
    title: 'was unlogged',
    sql: [`alter table app.m_2 set unlogged`, `alter table app.m_2 set logged`],
  },
])(
  'a partition that $title between joining its tree and the next lease arrives whole',
  async ({ sql: [out = '', back = ''] }) => {
    for (const joined of ['by a lease', 'by a copy']) {
      await using db = await freshPair();
      const migration = await startMigration(db, SOURCE, SELECTION, TARGET);
      const made = () => db.sourceClient.query(`${PARTITION}; ${FILL}`);
      const away = async () => {
        await db.sourceClient.query(out);
        await db.sourceClient.query(/* sql */ `update app.m set v = 'unsent' where id = 1001`);
        await db.sourceClient.query(back);
      };
      for (const side of [db.sourceClient, db.targetClient]) await side.query(COPIED);
      if (joined === 'by a lease') await made();
      expect((await failureOf(db, migration, SELECTION))?.message).toContain('app.moved');
      if (joined === 'by a copy') await made();
      await resync(db, migration, SELECTION, away);
      expect((await drainWithCopies(db, migration, SELECTION)).join()).toContain('app.m_2');
      await expectSame(db);
    }
  },
);

for (const { title, before = '', sql } of ENTERING) {
  test(`a partition created in the middle of a lease under ${title} arrives whole`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, `${SOURCE} ${before}`, SELECTION, TARGET);
    await inOneLease(db, migration, sql);
    await drainWithCopies(db, migration, SELECTION);
    await expectSame(db);
    await db.sourceClient.query(/* sql */ `
      insert into app.m values (1500, 'later'); update app.m set v = 'end' where id % 2 = 0; delete from app.m where id % 7 = 0`);
    expect(await drainWithCopies(db, migration, SELECTION)).toEqual([]);
    await expectSame(db);
  });
}

test('once a lease has requested a schema, partitions created there later join without a copy', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, SOURCE, SELECTION, TARGET);
  const made = (
    n: number,
  ) => /* sql */ `create table parts.m_${n} partition of app.m for values from (${n}000) to (${n + 1}000);
      insert into app.m values (${n}001, 'new')`;
  await inOneLease(db, migration, [made(1)]);
  expect((await drainWithCopies(db, migration, SELECTION)).join()).toContain('parts.m_1');
  await inOneLease(db, migration, [made(2)]);
  // Also when the rest of the schema is gone by then.
  await inOneLease(db, migration, [made(3)]);
  expect(await drainWithCopies(db, migration, SELECTION)).toEqual([]);
  await expectSame(db);
});

for (const [title, sql] of [
  ['moved into a selected schema', /* sql */ `alter table parts.moved set schema app`],
  ['given a selected name', /* sql */ `alter table app.left_out rename to renamed`],
] as const) {
  test(`a table that is ${title} in the middle of a lease is copied, with the changes that were skipped before`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      `${SOURCE} create table parts.moved (id int primary key); create table app.left_out (id int primary key)`,
      SELECTION,
      TARGET,
    );
    const name = title.startsWith('moved') ? 'app.moved' : 'app.renamed';
    const first = title.startsWith('moved') ? 'parts.moved' : 'app.left_out';
    await db.targetClient.query(/* sql */ `create table ${name} (id int primary key)`);
    await inOneLease(db, migration, [
      /* sql */ `insert into ${first} select generate_series(1, 50)`,
      sql,
      /* sql */ `insert into ${name} select generate_series(51, 60)`,
    ]);
    expect((await drainWithCopies(db, migration, SELECTION)).join()).toContain(name);
    await expectSame(db);
  });
}
