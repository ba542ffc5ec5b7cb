/** One lease of the stream against real servers: what arrives, what is refused, when it ends. */
import { expect, test, vi } from 'vitest';
import { compareLsn } from '../../../contract/lsn.ts';
import { MigrationError } from '../../../contract/failure.ts';
import { holdEpoch, takeEpoch } from '../../../postgres/store/epoch.ts';
import { fenceStream, streamChanges } from '../../../postgres/stream/lease.ts';
import { withSlotFree } from '../../../postgres/stream/slot-claim.ts';
import { observed } from '../../support/observed.ts';
import { drainWithCopies } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import {
  addSnapshot,
  drain,
  EVERYTHING,
  expectSame,
  OPTIONS,
  slotState,
  untilStreaming,
  startMigration,
  storedLsn,
  testWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id bigint primary key, v text); insert into t values (1, 'one')`;

async function rowsOf(db: FreshPair, table: string): Promise<number> {
  const { rows } = await db.targetClient.query<{ n: string }>(`select count(*) as n from ${table}`);
  return Number(rows[0]?.n);
}

test('every value arrives as the source prints it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `
    create domain raw as bytea; create domain flag as bool;
    create type mood as enum ('so', 'la la'); create type pair as (a int, b text);
    create table v (id bigint primary key, n numeric, f8 float8, f4 float4, b bytea, rb raw, ok bool, fl flag, j json, jb jsonb,
      ts timestamptz, d date, iv interval, a int[], ta text[], c "char", bits bit varying, m mood, p pair, u uuid, money money,
      r int4range, x xml, t text, g bigint generated always as (id / 2) stored);`,
  );
  const insert = /* sql */ `insert into v values
    (9007199254740993, $1::numeric, 1e-300, 3.4e38, '\\x00ff5c27', '\\x0001', true, false, '{"a" :  1.0, "a":2}', '{"b": 1.10}',
     'infinity', '-infinity', '1 year -3 days 04:05:06.7', '{1,null,3}', '{"a,b","c\\"d",null,""}', 'x', b'1010', 'la la',
     row(1, 'a "b"'), '00000000-0000-0000-0000-000000000001', 12.34, '[1,5)', '<a>&amp;</a>', E'line\\nend\\ttab \\\\ "q" ünï'),
    (-9223372036854775808, 'NaN', 'NaN', 'Infinity', '', null, false, null, 'null', 'null', '0001-01-01 00:00:00+00 BC', null, null,
     '{}', '{}', '', '', null, null, null, null, 'empty', null, ''),
    (9223372036854775807, 0.10, '-Infinity', '-0', null, null, null, null, '[1.00]', '[]', null, null, null,
     '{{1,2},{3,4}}', null, null, null, null, null, null, null, null, null, null)`;
  const digits = `-${'1234567890'.repeat(100)}.${'0'.repeat(50)}10`;
  await db.sourceClient.query(insert, [digits]);
  await drain(db, migration);
  await expectSame(db);
  await db.sourceClient.query(
    /* sql */ `update v set n = n * 3, b = b || '\\x01', f8 = null where id > 0`,
  );
  await db.sourceClient.query(
    /* sql */ `update v set f4 = 'NaN', n = 'Infinity', id = id + 1 where id < 0`,
  );
  const report = await drain(db, migration);
  expect(report.reached).toBe(true);
  await expectSame(db);
});

test('what is committed before `until` is on the target and confirmed to the source when the lease returns', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(
    /* sql */ `insert into t select i, 'x' from generate_series(2, 5000) i`,
  );
  const work = testWork();
  const report = await drain(db, migration, {}, work);
  expect(report).toMatchObject({
    reached: true,
    transactions: 1,
    changes: 4999,
    consistent: true,
  });
  await expectSame(db);
  const slot = await slotState(db, migration);
  expect(slot).toEqual({ confirmed: report.confirmedLsn, active: null });
  expect(await storedLsn(db, migration)).toBe(report.confirmedLsn);
  // Again, with nothing new: at once, from the same position.
  const again = await streamChanges(
    migration,
    { ...OPTIONS, until: report.confirmedLsn },
    testWork(),
  );
  expect(again).toMatchObject({ reached: true, transactions: 1, changes: 4999 });
  expect(work.beats[0]).toMatchObject({ phase: 'stream' });
  expect(
    Object.values(work.beats[0] ?? {}).every((v) => typeof v !== 'object' && typeof v !== 'bigint'),
  ).toBe(true);
});

test('a lease ends at the first commit boundary after its time, also when nothing happens', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const idle = await streamChanges(migration, { ...OPTIONS, leaseMs: 300 }, testWork());
  expect(idle).toMatchObject({ reached: false, changes: 0, lagSeconds: 0 });
  let writing = true;
  const writer = (async () => {
    for (let id = 2; writing; id += 1) {
      await db.sourceClient.query(/* sql */ `insert into t values ($1, 'x')`, [id]);
    }
  })();
  const busy = await streamChanges(migration, { ...OPTIONS, leaseMs: 300 }, testWork());
  writing = false;
  await writer;
  expect(busy.changes).toBeGreaterThan(0);
  expect(busy.reached).toBe(false);
  await drain(db, migration, { floor: busy.confirmedLsn });
  await expectSame(db);
});

test('an abort ends the lease at a commit, with the LSN of the target', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const work = testWork();
  const lease = streamChanges(migration, OPTIONS, work);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await until('the row', async () => (await rowsOf(db, 't')) === 2);
  work.abort();
  const report = await lease;
  expect(report.confirmedLsn).toBe(await storedLsn(db, migration));
  expect(await slotState(db, migration)).toEqual({ confirmed: report.confirmedLsn, active: null });
});

test.each(['in the stream', 'at its start'])(
  'an abort does not wait for a target that is stuck %s, and still returns the right LSN',
  async (when) => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLE);
    const before = await storedLsn(db, migration);
    await using blocker = await connectTo(db.target);
    if (when === 'at its start')
      await blocker.query(/* sql */ `begin; lock table t in access exclusive mode`);
    const work = testWork();
    const lease = streamChanges(migration, OPTIONS, work);
    if (when === 'in the stream') {
      await untilStreaming(db, migration);
    }
    if (when === 'in the stream')
      await blocker.query(/* sql */ `begin; lock table t in access exclusive mode`);
    await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
    await until('the lease to wait for the lock', async () => {
      const waiting =
        await blocker.query(/* sql */ `select from pg_locks where not granted and database = (
      select oid from pg_database where datname = current_database())`);
      return (waiting.rowCount ?? 0) > 0;
    });
    work.abort();
    const report = await lease;
    await blocker.query('rollback');
    expect(compareLsn(report.confirmedLsn, before)).toBeGreaterThanOrEqual(0);
    expect(report.confirmedLsn).toBe(await storedLsn(db, migration));
    expect(await rowsOf(db, 't')).toBe(1);
    await drain(db, migration, { floor: report.confirmedLsn });
    await expectSame(db);
  },
);

test("changes that a table's copy has are skipped up to the newest snapshot, for each table separately", async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table a (id int primary key, v int); create table b (id int primary key, v int)`,
  );
  await using open = await connectTo(db.source);
  // Begun before the second snapshot, committed after it: not in that copy.
  await open.query(/* sql */ `begin; insert into a values (50, 0); insert into b values (50, 0)`);
  await db.sourceClient.query(/* sql */ `insert into a values (1, 1); insert into b values (1, 1)`);
  const newest = await addSnapshot(db, migration);
  // What a copy of b under snapshot 2 would have added.
  await db.targetClient.query(/* sql */ `insert into b values (1, 1);
    update walferry.relation set pass = 2 where table_name = 'b'`);
  const half = await streamChanges(migration, { ...OPTIONS, leaseMs: 200 }, testWork());
  await open.query('commit');
  await db.sourceClient.query(/* sql */ `update b set v = v + 1; delete from a where id = 1`);
  const report = await drain(db, migration);
  expect(compareLsn(report.confirmedLsn, newest)).toBeGreaterThan(0);
  expect(report.consistent).toBe(true);
  expect(half.reached).toBe(false);
  await expectSame(db);
});

test('the target is consistent only when the stream has passed the newest snapshot, and stays consistent', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.targetClient
    .query(/* sql */ `insert into walferry.exported_snapshot select migration, 2, snapshot, snapshot_xmin, snapshot_xmax, snapshot_xip,
                 'FF/0', 0, now() from walferry.exported_snapshot`);
  expect(await drain(db, migration)).toMatchObject({ reached: true, consistent: false });
  await db.targetClient.query(/* sql */ `delete from walferry.exported_snapshot where number = 2`);
  expect(await drain(db, migration)).toMatchObject({ consistent: true });
  const { rows } = await db.targetClient.query(
    /* sql */ `select consistent from walferry.migration`,
  );
  expect(rows).toEqual([{ consistent: true }]);
});

test('a selected table that the plan does not know stops the stream, and nothing is skipped', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `create table later (id int primary key)`);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await db.sourceClient.query(
    /* sql */ `begin; insert into t values (3, 'three'); insert into later values (1); commit`,
  );
  const failing = drain(db, migration);
  await expect(failing).rejects.toMatchObject({
    code: 'UnknownRelation',
    details: { table: 'public.later' },
  });
  // With the table excluded, it continues with the transaction where it stopped.
  await drain(db, migration, { exclude: ['public.later'] });
  expect(await rowsOf(db, 't')).toBe(3);
});

test('tables that are not moved do not stop the stream: excluded, extension, materialized view, dropped early', async () => {
  await using db = await freshPair();
  const selection = { include: ['public.*'], exclude: ['public.log'] };
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v text); create table log (id int primary key);
      create schema other; create table other.x (id int primary key);
      create table gone (id int primary key);
      create materialized view mv as select 1 as id; create unique index on mv (id)`,
    selection,
  );
  await db.targetClient.query(/* sql */ `delete from walferry.relation where table_name = 'gone'`);
  await db.sourceClient.query(/* sql */ `insert into gone values (1)`);
  await db.sourceClient.query(/* sql */ `drop table gone`);
  await db.targetClient.query(
    /* sql */ `drop table gone; update walferry.exported_snapshot set lsn = $$FF/0$$`,
  );
  await db.sourceClient.query(
    /* sql */ `insert into log values (1); insert into other.x values (1); insert into t values (1, 'x')`,
  );
  await db.sourceClient.query(/* sql */ `refresh materialized view concurrently mv`);
  await drain(db, migration, selection);
  expect(await rowsOf(db, 't')).toBe(1);
  expect(await rowsOf(db, 'log')).toBe(0);
});

test('TRUNCATE of several tables with foreign keys, of a partitioned table, and changes around it arrive', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table parent (id int primary key); create table child (id int primary key, p int references parent);
      create table part (id int, v text, primary key (id)) partition by range (id);
      create table part_1 partition of part for values from (0) to (100);
      create table part_2 partition of part for values from (100) to (200);
      insert into parent values (1), (2); insert into child values (1, 1); insert into part values (1, 'a'), (150, 'b')`,
  );
  await db.sourceClient.query(
    /* sql */ `begin; insert into parent values (3); truncate parent, child; insert into parent values (4); commit`,
  );
  await db.sourceClient.query(/* sql */ `update part set id = 160 where id = 1`);
  await drain(db, migration);
  await expectSame(db);
  await db.sourceClient.query(
    /* sql */ `begin; truncate part; insert into part values (5, 'c'); commit`,
  );
  await drain(db, migration);
  await expectSame(db);
});

test('columns that differ, before the start or in the middle, stop the stream with table and column', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `alter table t alter v type varchar(9)`);
  await expect(drain(db, migration)).rejects.toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.t', column: 'v' },
  });
  await db.targetClient.query(/* sql */ `alter table t alter v type varchar(9)`);
  await drainWithCopies(db, migration);
  const streaming = observed(streamChanges(migration, OPTIONS, testWork()));
  await untilStreaming(db, migration);
  await db.sourceClient.query(
    /* sql */ `alter table t add extra int; insert into t values (2, 'two', 2)`,
  );
  await expect(streaming).rejects.toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.t', column: 'extra' },
  });
  await db.targetClient.query(/* sql */ `alter table t add extra int`);
  await drain(db, migration);
  await expectSame(db);
});

test('a slot that is missing, or is ahead of the target, is refused', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await db.sourceClient.query(
    /* sql */ `select pg_replication_slot_advance($1, pg_current_wal_lsn())`,
    [migration.slot],
  );
  await expect(drain(db, migration)).rejects.toMatchObject({ code: 'CheckpointMissing' });
  await db.sourceClient.query(/* sql */ `select pg_drop_replication_slot($1)`, [migration.slot]);
  await expect(drain(db, migration)).rejects.toMatchObject({ code: 'SlotMissing' });
  expect(await rowsOf(db, 't')).toBe(1);
});

test('a source that lost a replica identity stops the stream with StreamWarning after everything earlier is applied', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await db.sourceClient.query(/* sql */ `alter table t replica identity nothing`);
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'three')`);
  await db.sourceClient.query(/* sql */ `delete from t where id = 1`);
  await expect(drain(db, migration)).rejects.toMatchObject({ code: 'StreamWarning' });
  expect(await rowsOf(db, 't')).toBe(3);
});

test('an idle database in a busy cluster lets the slot advance', async () => {
  await using db = await freshPair();
  await using busy = await freshPair();
  const migration = await startMigration(db, TABLE);
  const before = await slotState(db, migration);
  const work = testWork();
  const limits = { positionMs: 100, positionBytes: 1 << 20 };
  const lease = streamChanges(migration, { ...OPTIONS, limits }, work);
  await busy.sourceClient.query(
    /* sql */ `create table noise as select i, repeat('x', 500) from generate_series(1, 10000) i`,
  );
  await until('the slot to move', async () => {
    const { confirmed } = await slotState(db, migration);
    // Never further than what the target has stored.
    expect(compareLsn(confirmed, await storedLsn(db, migration))).toBeLessThanOrEqual(0);
    const distance = await db.sourceClient.query<{ n: string }>(
      /* sql */ `select $1::pg_lsn - $2::pg_lsn as n`,
      [confirmed, before.confirmed],
    );
    return Number(distance.rows[0]?.n) > 4_000_000;
  });
  work.abort();
  expect((await lease).changes).toBe(0);
});

test('a new epoch takes over from a running stream, which writes nothing more', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const streaming = observed(streamChanges(migration, OPTIONS, testWork()));
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await until('the row', async () => (await rowsOf(db, 't')) === 2);
  const checkpoint = await fenceStream(migration);
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'three')`);
  await expect(streaming).rejects.toMatchObject({
    code: expect.stringMatching(/Unreachable|Fenced/) as string,
  });
  expect(checkpoint.confirmedLsn).toBe(await storedLsn(db, migration));
  expect(await rowsOf(db, 't')).toBe(2);
  await drain(db, migration, { floor: checkpoint.confirmedLsn });
  expect(await rowsOf(db, 't')).toBe(3);
});

test('an attempt whose epoch was taken in between leaves the slot to the attempt that streams now', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await using old = await connectTo(db.target);
  const { epoch } = await takeEpoch(old, migration);
  const work = testWork();
  const streaming = streamChanges(migration, OPTIONS, work);
  // Checks for a row through the stream, not for an active slot: the lease's probe of the plugin has the slot before the walsender does.
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await until('the newer one', async () => (await rowsOf(db, 't')) === 2);
  const { active } = await slotState(db, migration);
  await using source = await connectTo(db.source);
  await using target = await connectTo(db.target);
  const opening = withSlotFree(
    source,
    migration,
    () => Promise.reject(new MigrationError('SlotBusy', 'in use')),
    {
      waiting: () => undefined,
      stillMine: async () => void (await holdEpoch(target, migration, epoch)),
    },
  );
  await expect(opening).rejects.toMatchObject({ code: 'Fenced' });
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'three')`);
  await until('the row', async () => (await rowsOf(db, 't')) === 3);
  expect((await slotState(db, migration)).active).toBe(active);
  work.abort();
  expect((await streaming).changes).toBe(2);
});

test('with two attempts at once the newer ends the older and everything arrives once', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const first = observed(streamChanges(migration, OPTIONS, testWork()));
  await untilStreaming(db, migration);
  await db.sourceClient.query(
    /* sql */ `insert into t select i, 'x' from generate_series(2, 3000) i`,
  );
  const report = await drain(db, migration, EVERYTHING);
  await expect(first).rejects.toMatchObject({
    code: expect.stringMatching(/Unreachable|Fenced/) as string,
  });
  expect(report).toMatchObject({ transactions: 1, changes: 2999 });
  await expectSame(db);
});

test('an excluded table without replica identity is written, and the stream continues', async () => {
  await using db = await freshPair();
  const selection = { include: ['public.*'], exclude: ['public.audit'] };
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v text);
      create table audit (line text); insert into audit values ('one')`,
    selection,
  );
  await db.sourceClient.query(/* sql */ `update audit set line = 'two'`);
  await db.sourceClient.query(/* sql */ `insert into t values (7, 'seven')`);
  await drain(db, migration, selection);
  expect(await rowsOf(db, 't')).toBe(1);
});

test('changes of a planned table under another name stop the stream and are not skipped', async () => {
  await using db = await freshPair();
  const selection = { include: ['public.t'], exclude: [] };
  const migration = await startMigration(db, TABLE, selection);
  const renamer = await connectTo(db.source);
  await renamer.query('begin');
  await renamer.query(/* sql */ `alter table t rename to t_tmp`);
  await renamer.query(/* sql */ `update t_tmp set v = 'lost' where id = 1`);
  await renamer.query('commit');
  // The catalog at the start of the lease already has the new name: refused there, too.
  await expect(drain(db, migration, selection)).rejects.toMatchObject({ code: 'SchemaDrift' });
  await renamer.end();
});

test('if the worker’s clock is set back or forward while changes wait for their batch, they arrive, and the lease continues', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const work = testWork();
  const lease = streamChanges(migration, { ...OPTIONS, batchMilliseconds: 3_000 }, work);
  lease.catch(() => undefined);
  await untilStreaming(db, migration);
  const real = Date.now.bind(Date);
  for (const [id, hours] of [
    [2, -1],
    [3, 1],
  ] as const) {
    await db.sourceClient.query(/* sql */ `insert into t values (${id}, 'waits')`);
    // A beat that reports lag: the change waits for its batch.
    await until('the change to wait', () => Number(work.beats.at(-1)?.['lagSeconds']) > 0);
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => real() + hours * 3_600_000);
    try {
      await until('the row', async () => (await rowsOf(db, 't')) === id, { seconds: 10 });
      const beats = work.beats.length;
      await until('heartbeats', () => work.beats.length > beats + 1, { seconds: 10 });
    } finally {
      clock.mockRestore();
    }
  }
  work.abort();
  expect((await lease).transactions).toBe(2);
});
