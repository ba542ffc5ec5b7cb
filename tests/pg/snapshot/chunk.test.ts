/** Copying chunks is exact, resumable and fenced by the exported snapshot, and never reads a table that has changed since the snapshot. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import type { CopyPlan } from '../../../contract/work.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { copyChunks } from '../../../postgres/snapshot/copy-run.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { parseSnapshot } from '../../../postgres/catalog/visibility.ts';
import { copyAll, holding, inputOf, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { observed } from '../../support/observed.ts';
import { until } from '../../support/until.ts';

const SMALL_CHUNKS = { copy: { parallelism: 3, chunkMegabytes: 1 } };

/** Same tables on both sides, rows and slot on the source. */
async function prepared(db: FreshPair, tables: string, rows: string): Promise<Migration> {
  await db.sourceClient.query(tables);
  await db.targetClient.query(tables);
  await db.sourceClient.query(rows);
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  return migration;
}

const plan = (db: FreshPair, migration: Migration) =>
  planCopy(migration, inputOf(db, SMALL_CHUNKS), recordedWork());

function runOf(plan: CopyPlan, table: string) {
  const run = plan.runs.find(({ label }) => label.includes(table));
  if (!run) throw new Error(`no run of ${table}: ${plan.runs.map(({ label }) => label).join()}`);
  return { pass: plan.pass, run };
}

const BIG = `insert into big select i, repeat(md5(i::text), 8) from generate_series(1, 12000) i;`;

test('every kind of table arrives row for row, in chunks, in bundles and in parallel', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    /* sql */ `
    create table big (id int primary key, filler text);
    create table toast (id int primary key, body text); alter table toast alter column body set storage external;
    create table parent (id int); create table child (extra text) inherits (parent);
    create table root (id int, day date) partition by range (day);
    create table leaf_a partition of root for values from ('2024-01-01') to ('2025-01-01');
    create table leaf_b partition of root default;
    create table computed (a int, b int generated always as (a * 2) stored, id bigint generated always as identity);
    create schema "Odd.schema"; create table "Odd.schema"."say ""hi""" ("a b" text, "C" bytea, "back\\slash" json);
    create table nothing (); create table empty (id int)`,
    /* sql */ `${BIG}
    insert into toast select i, repeat(md5(i::text), 300) from generate_series(1, 600) i;
    insert into parent select generate_series(1, 10); insert into child select i, 'x' from generate_series(1, 20) i;
    insert into root select i, '2024-06-01'::date + i * 30 from generate_series(1, 20) i;
    insert into computed (a) select generate_series(1, 50);
    insert into "Odd.schema"."say ""hi""" values (E'tab\\t nl\\n bs\\\\ \\\\N', '\\x00ff0a5c', '{"a": 1.0}'), (null, null, null), ('', '', 'null');
    insert into nothing default values; insert into nothing default values`,
  );
  await db.targetClient.query('drop table public.computed');
  await db.targetClient.query(
    'create table public.computed (id bigint generated always as identity, b int generated always as (a * 2) stored, a int)',
  );
  await using held = await holding(db, migration);
  const first = await plan(db, migration);
  expect(first.pass).toBe(held.pass.number);
  expect(first.tables).toBe(10);
  expect(first.runs.filter(({ label }) => label.startsWith('public.big ')).length).toBeGreaterThan(
    2,
  );
  const results = await copyAll(migration, first);
  await db.targetClient.query(`select setval('public.computed_id_seq', 50)`);
  await expectEqual(...(await comparable(db)));
  const rows = results.reduce((sum, result) => sum + result.rows, 0);
  const after = await plan(db, migration);
  expect(after.runs).toEqual([]);
  expect(after).toMatchObject({
    rows,
    chunksDone: first.chunksTotal,
    chunksTotal: first.chunksTotal,
  });
  expect(after.bytes).toBeGreaterThan(2_000_000);
});

/** The one table whose columns have another order is compared through a view with the same order. */
async function comparable(db: FreshPair) {
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query('create table public.sorted as select a, b, id from public.computed');
    await client.query('drop table public.computed');
  }
  return [db.sourceClient, db.targetClient] as const;
}

test('an attempt knows from the marks what is done: nothing is copied twice', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table big (id int primary key, filler text)', BIG);
  await using _held = await holding(db, migration);
  const whole = await plan(db, migration);
  const first = runOf(whole, 'big');
  const done = await copyChunks(migration, first, recordedWork());
  expect(done).toMatchObject({ chunks: 1, skipped: 0 });
  expect(await copyChunks(migration, first, recordedWork())).toEqual({
    chunks: 0,
    skipped: 1,
    rows: 0,
    bytes: 0,
    rewritten: 0,
    states: {
      counts: { copying: 1 },
      unready: [{ table: 'public.big', state: 'copying' }],
    },
  });
  const rest = await plan(db, migration);
  expect(rest.runs.length).toBe(whole.runs.length - 1);
  expect(rest).toMatchObject({ chunksDone: 1, rows: done.rows, bytes: done.bytes });
  await copyAll(migration, rest);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('rows inserted after the snapshot are not copied, also those behind the last block', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table big (id int primary key, filler text)', BIG);
  await using _held = await holding(db, migration);
  const whole = await plan(db, migration);
  await db.sourceClient.query(
    `update big set filler = 'later' where id % 3 = 0; delete from big where id % 3 = 1;
     insert into big select i, 'later' from generate_series(20001, 40000) i`,
  );
  await copyAll(migration, whole);
  const { rows } = await db.targetClient.query<{ n: string; later: string }>(
    `select count(*) as n, count(*) filter (where filler = 'later') as later from big`,
  );
  expect(rows[0]).toEqual({ n: '12000', later: '0' });
});

test('columns that swap their names after the snapshot are not copied swapped', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table kept (id int, a text, b text)',
    `insert into kept select i, 'a', 'b' from generate_series(1, 500) i`,
  );
  const swap =
    'alter table kept rename a to x; alter table kept rename b to a; alter table kept rename x to b';
  const held = await holding(db, migration);
  const first = await plan(db, migration);
  await db.sourceClient.query(swap);
  const [result] = await copyAll(migration, first);
  expect(result).toMatchObject({ rows: 0, rewritten: 1 });
  await held.stop();
  await db.targetClient.query(swap);
  await using _second = await holding(db, migration);
  await copyAll(migration, await plan(db, migration));
  await expectEqual(db.sourceClient, db.targetClient);
});

const REWRITES: [string, string][] = [
  ['truncated', 'truncate kept; insert into kept values (7)'],
  ['rewritten by VACUUM FULL', 'vacuum full kept'],
  ['rewritten by ALTER TYPE', 'alter table kept alter id type bigint'],
  ['dropped and created again', 'drop table kept; create table kept (id int)'],
];

test.each(REWRITES)(
  'a table %s after the snapshot is left to the next exported snapshot, the others are not',
  async (_what, sql) => {
    await using db = await freshPair();
    const migration = await prepared(
      db,
      'create table kept (id int); create table other (id int)',
      'insert into kept select generate_series(1, 500); insert into other select generate_series(1, 500)',
    );
    const held = await holding(db, migration);
    const first = await plan(db, migration);
    for (const statement of sql.split(';')) await db.sourceClient.query(statement);
    const [result] = await copyAll(migration, first);
    expect(result).toMatchObject({ rows: 500, rewritten: 1 });
    const count = () => db.targetClient.query('select from kept').then(({ rowCount }) => rowCount);
    expect(await count()).toBe(0);

    // It cannot be copied under the same snapshot: the plan waits for another.
    const next = observed(plan(db, migration));
    await held.stop();
    await using _second = await holding(db, migration);
    if (sql.includes('alter')) {
      await expect(next).rejects.toMatchObject({ code: 'SchemaDrift' });
      await db.targetClient.query('alter table kept alter id type bigint');
    }
    const second = sql.includes('alter') ? await plan(db, migration) : await next;
    expect(second.pass).toBe(2);
    expect(second.runs.map(({ label }) => label)).toEqual(['public.kept']);
    await copyAll(migration, second);
    await expectEqual(db.sourceClient, db.targetClient);
    expect((await plan(db, migration)).runs).toEqual([]);
  },
);

test('a table dropped during the copy counts as copied, without rows', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table gone (id int); create table other (id int)',
    'insert into gone values (1); insert into other values (1)',
  );
  const held = await holding(db, migration);
  const first = await plan(db, migration);
  await db.sourceClient.query('drop table gone');
  await copyAll(migration, first);
  await held.stop();
  await using _second = await holding(db, migration);
  expect((await plan(db, migration)).runs).toEqual([]);
});

test('when the snapshot owner is lost, only unfinished tables are copied in the next pass', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table big (id int primary key, filler text); create table big2 (like big including all); create table small (id int)',
    `${BIG} insert into big2 select * from big; insert into small values (1)`,
  );
  const held = await holding(db, migration);
  const first = await plan(db, migration);
  for (const run of first.runs.filter(({ label }) => label.startsWith('public.big2'))) {
    await copyChunks(migration, { pass: first.pass, run }, recordedWork());
  }
  const begun = runOf(first, 'public.big ');
  await copyChunks(migration, begun, recordedWork());
  await db.sourceClient.query('select pg_terminate_backend($1)', [held.pass.owner.pid]);
  expect(await held.ended).toMatchObject({ code: 'SnapshotLost' });
  await expect(copyChunks(migration, runOf(first, 'small'), recordedWork())).rejects.toMatchObject({
    code: 'SnapshotLost',
  });

  await db.sourceClient.query(`delete from big where id <= 100`);
  await using _second = await holding(db, migration);
  const second = await plan(db, migration);
  expect(second.pass).toBe(2);
  expect(second.runs.some(({ label }) => label.startsWith('public.big2'))).toBe(false);
  expect(second.runs.some(({ label }) => label.startsWith('public.big '))).toBe(true);
  // A late attempt under the old snapshot finds nothing to do and writes nothing.
  await expect(copyChunks(migration, begun, recordedWork())).rejects.toMatchObject({
    code: 'SnapshotLost',
  });
  await copyAll(migration, second);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a worker that hangs inside a chunk is ended by the next attempt, and under the next exported snapshot', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  const held = await holding(db, migration);
  const first = await plan(db, migration);
  const chunk = first.runs[0]?.firstChunk ?? 0;
  // The hanging worker's session: in the middle of its transaction.
  const stopped = async () => {
    const client = await connectTo(db.target);
    await client.query('begin');
    await client.query('select pg_try_advisory_xact_lock(hashtext($1), $2)', [migration.id, chunk]);
    await client.query('select from walferry.chunk where id = $1 for update', [chunk]);
    await client.query('insert into t values (99)');
    return client;
  };
  const one = await stopped();
  await copyChunks(migration, runOf(first, 't'), recordedWork());
  await expect(one.query('commit')).rejects.toThrow();
  await expectEqual(db.sourceClient, db.targetClient);

  await db.targetClient.query(
    `update walferry.chunk set done_at = null; update walferry.relation set state = 'copying', chunks_left = 1`,
  );
  const two = await stopped();
  await held.stop();
  await using _second = await holding(db, migration);
  const second = await plan(db, migration);
  await expect(two.query('commit')).rejects.toThrow();
  await db.targetClient.query('truncate public.t');
  await copyAll(migration, second);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('an overtaken attempt that wakes up does not end the newer one that copies its chunk, and repeats nothing', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  await using _ = await holding(db, migration);
  const planned = await plan(db, migration);
  const chunk = planned.runs[0]?.firstChunk ?? 0;
  const work = recordedWork();
  // Its sessions are open and its first step on the target is blocked, as if its machine were frozen there.
  await using blocker = await connectTo(db.target);
  await blocker.query('begin; lock table walferry.relation in access exclusive mode');
  const older = copyChunks(migration, runOf(planned, 't'), work);
  await until('the older attempt to be connected', async () => {
    const { rowCount } = await db.targetClient
      .query(/* sql */ `select from pg_stat_activity where datname = current_database()
                  and application_name like 'walferry copy%' and wait_event_type = 'Lock'`);
    return rowCount === 1;
  });
  await using newer = await connectTo(db.target);
  await newer.query('begin');
  await newer.query('select pg_try_advisory_xact_lock(hashtext($1), $2)', [migration.id, chunk]);
  await newer.query('insert into t values (1)');
  await blocker.query('rollback');
  await until('the older attempt to ask for the chunk several times', async () => {
    const { rows } = await db.targetClient.query<{
      idle: boolean;
    }>(/* sql */ `select state like 'idle in transaction%' and clock_timestamp() - xact_start > interval '300 ms' as idle
                  from pg_stat_activity where datname = current_database() and application_name like 'walferry copy%'`);
    return rows[0]?.idle === true;
  });
  await newer.query('update walferry.chunk set done_at = now() where id = $1', [chunk]);
  await newer.query('commit');
  expect(await older).toMatchObject({ chunks: 0, skipped: 1 });
  await expectEqual(db.sourceClient, db.targetClient);
});

test('an attempt whose chunk was taken under the next exported snapshot during its copy commits nothing', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.target);
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  const held = await holding(db, migration);
  const first = await plan(db, migration);
  // Blocks the late attempt between its query of the plan and its chunk.
  await blocker.query('begin; select from walferry.chunk for update');
  const late = observed(copyChunks(migration, runOf(first, 't'), recordedWork()));
  await until('the attempt to wait', () =>
    db.targetClient
      .query(`select from pg_locks where not granted and locktype in ('transactionid', 'tuple')`)
      .then(({ rowCount }) => (rowCount ?? 0) > 0),
  );
  await blocker.query('update walferry.chunk set pass = 2; commit');
  await expect(late).rejects.toMatchObject({ code: 'SnapshotLost' });
  expect((await db.targetClient.query('select from t')).rowCount).toBe(0);
  await held.stop();
});

test('a copy that the target refuses is reported without its values, and continues once the cause is fixed', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table big (id int primary key, filler text)',
    `${BIG} update big set filler = 'secret value' where id = 11000`,
  );
  await db.targetClient.query(
    `alter table big add constraint refuse check (filler <> 'secret value')`,
  );
  await using _held = await holding(db, migration);
  const whole = await plan(db, migration);
  const failures = await Promise.allSettled(
    whole.runs.map((run) => copyChunks(migration, { pass: whole.pass, run }, recordedWork())),
  );
  const [failed, ...more] = failures.flatMap((f) => (f.status === 'rejected' ? [f] : []));
  expect(more).toEqual([]);
  expect(failed?.reason).toMatchObject({
    code: 'CopyFailed',
    details: { table: 'public.big', sqlstate: '23514', constraint: 'refuse' },
  });
  expect(String(failed?.reason)).not.toContain('secret');
  await db.targetClient.query('alter table big drop constraint refuse');
  const rest = await plan(db, migration);
  expect(rest.runs).toHaveLength(1);
  await copyAll(migration, rest);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('an abort closes both connections at once and leaves neither rows nor a mark', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.target);
  const migration = await prepared(db, 'create table big (id int primary key, filler text)', BIG);
  await using _held = await holding(db, migration);
  const whole = await plan(db, migration);
  // The target stops reading: the copy is stuck in the middle.
  await blocker.query('begin; lock table big in access exclusive mode');
  const work = recordedWork();
  const attempt = observed(copyChunks(migration, runOf(whole, 'big'), work));
  await until('the copy to be stuck', () =>
    db.targetClient
      .query(
        `select from pg_stat_activity where application_name = 'walferry copy' and wait_event_type = 'Lock' and datname = current_database()`,
      )
      .then(({ rowCount }) => rowCount === 1),
  );
  const aborted = Date.now();
  work.abort(new Error('stop now'));
  await expect(attempt).rejects.toThrow('stop now');
  expect(Date.now() - aborted).toBeLessThan(1000);
  await blocker.query('commit');
  await until('the sessions to end', async () => {
    for (const client of [db.sourceClient, db.targetClient]) {
      const { rowCount } = await client.query(
        `select from pg_stat_activity where application_name = 'walferry copy' and datname = current_database()`,
      );
      if (rowCount !== 0) return false;
    }
    return true;
  });
  expect((await db.targetClient.query('select from big')).rowCount).toBe(0);
  expect((await plan(db, migration)).chunksDone).toBe(0);
});

test('the copy waits for a lock on a source table and reports it', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.source);
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  await using _held = await holding(db, migration);
  const whole = await plan(db, migration);
  await blocker.query('begin; lock table t in access exclusive mode');
  const work = recordedWork();
  const attempt = copyChunks(migration, runOf(whole, 't'), work);
  await until('the report', () => work.beats.some(({ waitingFor }) => waitingFor !== undefined));
  await blocker.query('commit');
  expect(await attempt).toMatchObject({ chunks: 1, rows: 1 });
});

test('a snapshot of the same name that another session exported is not mistaken for the one of the plan', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  const held = await holding(db, migration);
  const whole = await plan(db, migration);
  await using other = await connectTo(db.source);
  const exported = async (): Promise<void> => {
    await other.query('rollback; begin isolation level repeatable read read only');
    const { rows } = await other.query<{ name: string }>('select pg_export_snapshot() as name');
    // As after a restart, when the counters behind the names restart.
    await db.targetClient.query('update walferry.exported_snapshot set snapshot = $1', [
      rows[0]?.name,
    ]);
  };
  const lost = { code: 'SnapshotLost' };
  // It sees other rows, and the snapshot owner is still there.
  await db.sourceClient.query('insert into t values (2)');
  await exported();
  await expect(copyChunks(migration, runOf(whole, 't'), recordedWork())).rejects.toMatchObject(
    lost,
  );
  // It sees the same transaction ids, and the snapshot owner is gone.
  await db.targetClient.query(
    'update walferry.exported_snapshot set snapshot_xmin = $1, snapshot_xmax = $2, snapshot_xip = $3',
    [...(await seenBy(other))],
  );
  await held.stop();
  await expect(copyChunks(migration, runOf(whole, 't'), recordedWork())).rejects.toMatchObject(
    lost,
  );
  expect((await db.targetClient.query('select from t')).rowCount).toBe(0);
});

/** xmin, xmax and xip of the session's snapshot. */
async function seenBy(client: pg.Client): Promise<readonly unknown[]> {
  const { rows } = await client.query<{ text: string }>(
    'select pg_current_snapshot()::text as text',
  );
  const { xmin, xmax, xip } = parseSnapshot(rows[0]?.text ?? '');
  return [String(xmin), String(xmax), [...xip].map(String)];
}

test('row security makes the copy fail instead of copying no rows', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  await db.sourceClient.query('alter table t enable row level security');
  const role = `limited_${db.source}`;
  await db.sourceClient.query(
    `create role ${role} login password 'pw' replication; grant select on t to ${role}`,
  );
  try {
    const { addService, sourceServer } = await import('../../support/database.ts');
    addService(role, {
      host: '127.0.0.1',
      port: String(sourceServer().port),
      dbname: db.source,
      user: role,
      password: 'pw',
    });
    await using _held = await holding(db, migration);
    const whole = await plan(db, migration);
    await expect(
      copyChunks({ ...migration, source: role }, runOf(whole, 't'), recordedWork()),
    ).rejects.toMatchObject({ code: 'Denied', details: { table: 'public.t' } });
  } finally {
    await db.sourceClient.query(`drop owned by ${role}; drop role ${role}`);
  }
});
