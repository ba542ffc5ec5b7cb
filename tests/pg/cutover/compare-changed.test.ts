/** The check within the box: what changed since the last verification, on either side, is compared while no one writes. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { compareChanged } from '../../../postgres/cutover/compare-changed.ts';
import { compareEveryRow } from '../../../postgres/cutover/every-row.ts';
import { dropSlot } from '../../../postgres/slot/drop-slot.ts';
import { runVerification } from '../../../postgres/verification/whole-verification.ts';
import { inputOf, recordedWork } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { statesOf } from '../../support/held-states.ts';
import { drainWithCopies } from '../../support/resync.ts';
import { EVERYTHING, startMigration } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { failure } from '../schema/schema-fidelity.ts';

const DDL = /* sql */ `
  create table t (id int, part text, v text, n numeric, primary key (id, part));
  create table keyless (v int);
  create table idle (id int primary key);
  insert into t select g, 'a', 'old', 1.0 from generate_series(1, 200) g;
  insert into keyless values (1); insert into idle values (1)`;

interface Verified extends AsyncDisposable {
  readonly db: FreshPair;
  readonly migration: Migration;
  /** The same statement on both sides, as the stream would apply it. */
  both(sql: string): Promise<void>;
  compare(milliseconds?: number): ReturnType<typeof compareChanged>;
}

/** @param open a transaction of the source that is open at the anchor, with a subtransaction. */
async function verified(open?: string): Promise<Verified> {
  const db = await freshPair();
  const migration = await startMigration(db, DDL.replace(/insert[^;]*;?/g, ''));
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(DDL.slice(DDL.indexOf('insert')));
  }
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'ready' where kind = 'r'`,
  );
  const input = inputOf(db);
  const writer = await connectTo(db.source);
  // The subtransaction has an own number, which the snapshot does not name.
  if (open !== undefined) {
    await rowsAreOlder(db);
    await writer.query(`begin; insert into idle values (2); savepoint s; ${open}`);
  }
  const verification = randomUUID();
  const report = await runVerification(
    { migration, input, verification },
    recordedWork(),
    statesOf(db),
  );
  expect(report).toMatchObject({ result: 'equal', tables: 3 });
  if (open !== undefined) await writer.query('commit');
  await writer.end();
  return {
    ...{ db, migration },
    both: async (sql) => {
      await db.sourceClient.query(sql);
      await db.targetClient.query(sql);
    },
    compare: (milliseconds = 60_000) =>
      compareChanged(migration, input, { milliseconds }, recordedWork()),
    [Symbol.asyncDispose]: async () => {
      await dropSlot(migration);
      await db[Symbol.asyncDispose]();
    },
  };
}

/** On shared servers the transaction of another test may be older than the rows: then every row counts as changed. */
async function rowsAreOlder(db: FreshPair, table = 't'): Promise<void> {
  await until('the transactions that are older than the rows', async () => {
    const ages = [db.sourceClient, db.targetClient].map(async (client) => {
      const { rows } = await client.query<{ older: boolean }>(
        /* sql */ `select bool_and(pg_snapshot_xmin(pg_current_snapshot())::text::bigint > xmin::text::bigint) as older from ${table}`,
      );
      return rows[0]?.older === true;
    });
    return (await Promise.all(ages)).every(Boolean);
  });
}

test('without a verification nothing is compared, and the answer says so; without time every table is named', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, DDL);
  const limits = { milliseconds: 60_000 };
  expect(await compareChanged(migration, inputOf(db), limits, recordedWork())).toEqual({
    ...{ since: null, tables: 0, rows: 0, notCompared: [] },
  });
  await dropSlot(migration);
  await using late = await verified();
  expect((await late.compare(0)).notCompared).toEqual([
    'public.keyless: it has no key',
    'public.idle: no time was left',
    'public.t: no time was left',
  ]);
});

test('rows that changed alike on both sides are compared and equal, also those of transactions that were open at the anchor', async () => {
  const open = /* sql */ `update t set v = 'open' where id = 7`;
  await using lab = await verified(open);
  await lab.db.targetClient.query(`insert into idle values (2); ${open}`);
  await lab.both(/* sql */ `
    insert into t values (201, 'a', 'new', 2); update t set v = 'new' where id between 10 and 19;
    update t set part = 'b' where id = 20; delete from t where id = 30; insert into keyless values (2)`);
  const report = await lab.compare();
  expect(report).toMatchObject({ tables: 2, notCompared: ['public.keyless: it has no key'] });
  expect(report.since).not.toBeNull();
  // Of 200 rows; those that the anchor's oldest transaction may have written count, too.
  expect(report.rows).toBe(14);
});

test('a table whose tree on the target has got or lost a partition is named as not compared, also when its rows are where only the target has a partition', async () => {
  for (const sql of [
    /* sql */ `create table tree_2 partition of tree for values in (2)`,
    /* sql */ `drop table tree_1; create table tree_3 partition of tree for values in (1)`,
  ]) {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      /* sql */ `create table tree (k int, id int, primary key (k, id))`,
      EVERYTHING,
      /* sql */ `create table tree (k int, id int, primary key (k, id)) partition by list (k); create table tree_1 partition of tree for values in (1)`,
    );
    await db.targetClient.query(
      /* sql */ `update walferry.relation set state = 'ready' where kind = 'r'`,
    );
    const input = inputOf(db);
    const step = { migration, input, verification: randomUUID() };
    expect(await runVerification(step, recordedWork(), statesOf(db))).toMatchObject({
      ...{ result: 'equal', tables: 1 },
    });
    await db.targetClient.query(sql);
    const row = sql.includes('tree_2') ? 2 : 1;
    for (const client of [db.sourceClient, db.targetClient]) {
      await client.query(/* sql */ `insert into tree values ($1, 5)`, [row]);
    }
    const limits = { milliseconds: 60_000 };
    expect(await compareChanged(migration, input, limits, recordedWork())).toMatchObject({
      ...{ tables: 0, rows: 0 },
      notCompared: ['public.tree: its partitions on the target are not those of the verification'],
    });
    await dropSlot(migration);
  }
});

test.each([
  {
    how: 'has got a partition is compared with its rows in it',
    sql: /* sql */ `create table tree_2 partition of tree for values in (2); insert into tree values (2, 5, 'new')`,
    report: { tables: 1, rows: 1, notCompared: [] },
    foreign: /* sql */ `update tree set v = 'foreign' where k = 2`,
  },
  {
    how: 'has lost one that is a table of its own now is compared without it, and that table is named',
    sql: /* sql */ `alter table tree detach partition tree_1; insert into tree_1 values (1, 6, 'new'); insert into tree values (3, 7, 'new')`,
    report: { tables: 1, notCompared: ['public.tree_1: new since the verification'] },
    foreign: /* sql */ `update tree set v = 'foreign' where id = 7`,
  },
  {
    how: 'was replaced by new partitions is compared with these',
    sql: /* sql */ `drop table tree_1, tree_3; create table tree_4 partition of tree default; insert into tree values (1, 6, 'new')`,
    report: { tables: 1, rows: 1, notCompared: [] },
    foreign: /* sql */ `update tree set v = 'foreign' where k = 1`,
  },
])('a table whose tree on the source $how', async ({ sql, report, foreign }) => {
  await using db = await freshPair();
  const columns = /* sql */ `(k int, id int, v text, primary key (k, id))`;
  const selection = { ...EVERYTHING, viaPartitionRoot: ['public.tree'] };
  const migration = await startMigration(
    db,
    /* sql */ `create table tree ${columns} partition by list (k); create table tree_1 partition of tree for values in (1);
      create table tree_3 partition of tree for values in (3); insert into tree values (1, 1, 'old'), (3, 1, 'old')`,
    selection,
    /* sql */ `create table tree ${columns}`,
  );
  await drainWithCopies(db, migration, selection);
  const input = inputOf(db, { tables: selection });
  const step = { migration, input, verification: randomUUID() };
  expect(await runVerification(step, recordedWork(), statesOf(db))).toMatchObject({
    ...{ result: 'equal', tables: 1, rows: 2 },
  });
  await rowsAreOlder(db, 'tree');
  await db.sourceClient.query(sql);
  if (sql.includes('detach')) await db.targetClient.query(`create table public.tree_1 ${columns}`);
  await drainWithCopies(db, migration, selection);
  const compare = () => compareChanged(migration, input, { milliseconds: 60_000 }, recordedWork());
  expect(await compare()).toMatchObject(report);
  await db.targetClient.query(foreign);
  expect((await failure(compare(), 'NotEqual')).message).toContain('public.tree (1)');
  await dropSlot(migration);
});

test('a table that the plan does not have any more is named as not compared', async () => {
  await using lab = await verified();
  await lab.both(/* sql */ `insert into t values (201, 'a', 'new', 2); drop table idle`);
  await lab.db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'dropped', pass = null where table_name = 'idle'`,
  );
  const { tables, notCompared } = await lab.compare();
  expect(tables).toBe(1);
  expect([...notCompared].sort()).toEqual([
    'public.idle: it is not moved any more',
    'public.keyless: it has no key',
  ]);
});

test('a partition that joined after the verification is named as not compared', async () => {
  await using lab = await verified();
  await lab.db.targetClient.query(/* sql */ `
    insert into walferry.relation (migration, id, source_oid, schema_name, table_name, kind, state, pass, pages, estimated_rows, estimated_bytes)
    select migration, 1000, 1, 'public', 'joined', kind, 'ready', 1, 0, 0, 0 from walferry.relation where table_name = 't'`);
  expect((await lab.compare()).notCompared).toEqual([
    'public.joined: new since the verification',
    'public.keyless: it has no key',
  ]);
});

test.each([
  [
    'a change that is missing',
    (db: FreshPair) => db.sourceClient.query(/* sql */ `update t set v = 'new' where id = 7`),
  ],
  [
    'a row that is missing',
    (db: FreshPair) => db.sourceClient.query(/* sql */ `insert into t values (300, 'a', 'new', 1)`),
  ],
  [
    'a key that differs',
    (db: FreshPair) => db.sourceClient.query(/* sql */ `update t set part = 'b' where id = 7`),
  ],
  [
    'another text of an equal number',
    async (db: FreshPair) => {
      await db.sourceClient.query(/* sql */ `update t set n = 1.00 where id = 7`);
      await db.targetClient.query(/* sql */ `update t set n = 1.0 where id = 7`);
    },
  ],
  [
    'a write of somebody else on the target',
    (db: FreshPair) => db.targetClient.query(/* sql */ `update t set v = 'foreign' where id = 150`),
  ],
] as const)('%s is found among rows that changed, and its table is named', async (_, differ) => {
  await using lab = await verified();
  await lab.both(/* sql */ `update t set v = 'new' where id between 100 and 120`);
  await differ(lab.db);
  const { message, details } = await failure(lab.compare(), 'NotEqual');
  expect(message).toMatch(/public\.t \([12]\)/);
  expect(details.table).toBe('public.t');
  expect(message).not.toContain('foreign');
});

test('a change of a subtransaction that was open at the anchor is found when the target does not have it', async () => {
  await using lab = await verified(
    /* sql */ `update t set v = 'open' where id = 7; release savepoint s`,
  );
  await lab.db.targetClient.query(/* sql */ `insert into idle values (2)`);
  const { message } = await failure(lab.compare(), 'NotEqual');
  expect(message).toContain('public.t (1)');
});

test('on request every row is compared while both sides stand still, and one that differs is named by its table', async () => {
  await using lab = await verified();
  const { db, migration } = lab;
  await lab.both(/* sql */ `insert into t values (201, 'a', 'new', 2)`);
  const every = () => compareEveryRow(migration, inputOf(db), recordedWork());
  expect(await every()).toEqual({ tables: 3, rows: 203, notCompared: [] });
  // A row that is gone has no new version on either side.
  await db.targetClient.query(/* sql */ `delete from t where id = 3`);
  expect((await failure(every(), 'NotEqual')).message).toContain('public.t (1)');
});
