/**
 * The ten defects of the small wal2json examples that projects like this one start from. Each test fails with its defect: this was
 * verified by removing the protection named next to it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, test } from 'vitest';
import { compareLsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { streamChanges } from '../../support/lease.ts';
import { copyAll, holding, inputOf, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { Load, LOAD_TABLES } from '../../support/load.ts';
import {
  drain,
  endMark,
  expectSame,
  OPTIONS,
  slotState,
  startMigration,
  storedLsn,
  testWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id bigint primary key, v text); insert into t values (1, 'one')`;

/** A lease in its own process, to be killed. */
function streamProcess(migration: Migration) {
  const script = path.join(import.meta.dirname, '../../support/stream-process.ts');
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', script, JSON.stringify(migration), JSON.stringify(OPTIONS)],
    { stdio: 'ignore' },
  );
  const ended = once(child, 'close');
  return {
    kill: async (): Promise<void> => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function valuesOf(db: FreshPair, sql: string): Promise<unknown[]> {
  const { rows } = await db.targetClient.query<unknown[]>({ text: sql, rowMode: 'array' });
  return rows.map(([value]) => value);
}

// Protection: postgres/replication/confirm.ts, only a stored position is confirmed.
test('1, consumes before applying: what was received but is not on the target is not confirmed, and is delivered again', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await using blocker = await connectTo(db.target);
  await blocker.query(/* sql */ `begin; lock table t in share row exclusive mode`);
  const before = await slotState(db, migration);
  const child = streamProcess(migration);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  await until('the change to be received and to wait for the lock', async () => {
    const waiting = await blocker.query(
      /* sql */ `select from pg_locks where not granted and relation = 't'::regclass`,
    );
    return waiting.rowCount === 1;
  });
  const replied = async (): Promise<string> => {
    const { rows } = await db.sourceClient.query<{ at: string }>(
      /* sql */ `select r.reply_time::text as at from pg_stat_replication r
                   join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = $1`,
      [migration.slot],
    );
    return rows[0]?.at ?? '';
  };
  // These messages carry what is confirmed to the source: two of them came after the change.
  for (let message = 0; message < 2; message += 1) {
    const last = await replied();
    await until('another status message', async () => (await replied()) > last);
  }
  expect((await slotState(db, migration)).confirmed).toBe(before.confirmed);
  await child.kill();
  await blocker.query('rollback');
  expect(await drain(db, migration)).toMatchObject({ transactions: 1, changes: 1 });
  await expectSame(db);
});

// Protection: postgres/stream/target-writer.ts, a failed batch is rolled back as a whole and nothing is written after it.
test('2, errors skipped row by row: a change that fails stops the stream, and neither it nor a later one is lost', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.targetClient.query(/* sql */ `alter table t add constraint nice check (v <> 'bad')`);
  await db.sourceClient.query(
    /* sql */ `begin; insert into t values (2, 'two'), (3, 'bad'), (4, 'four'); commit`,
  );
  await db.sourceClient.query(/* sql */ `insert into t values (5, 'five')`);
  await expect(drain(db, migration)).rejects.toMatchObject({
    code: 'ChangeFailed',
    details: { table: 'public.t', sqlstate: '23514', constraint: 'nice' },
  });
  expect(await valuesOf(db, 'select id from t order by id')).toEqual(['1']);
  await db.targetClient.query(/* sql */ `alter table t drop constraint nice`);
  await drain(db, migration);
  await expectSame(db);
});

// Protection: postgres/slot/create-slot.ts, an existing slot is used, not recreated.
test('3, slot dropped on restart: after a kill the same slot delivers what was written while no stream ran', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(TABLE);
  await db.targetClient.query(TABLE);
  await db.targetClient.query(/* sql */ `truncate t`);
  const migration = await registered(db);
  const made = await createSlot(migration, recordedWork());
  {
    await using _ = await holding(db, migration);
    await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  }
  const child = streamProcess(migration);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'streamed')`);
  await until(
    'the first change',
    async () => (await valuesOf(db, 'select id from t')).length === 2,
  );
  await child.kill();
  const { confirmed } = await slotState(db, migration);
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'while no stream ran')`);
  // Another worker may run a killed worker's step again.
  expect(await createSlot(migration, recordedWork())).toEqual(made);
  const again = await slotState(db, migration);
  expect(compareLsn(again.confirmed, confirmed)).toBeGreaterThanOrEqual(0);
  await drain(db, migration, { floor: await storedLsn(db, migration) });
  await expectSame(db);
});

// Protection: postgres/drift/mapped-change.ts, what the copy's snapshot shows is not applied again, anything else is.
test('4, copy not aligned with the slot: under load copy and stream meet without a row too few or too many', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(LOAD_TABLES);
  await db.targetClient.query(LOAD_TABLES);
  await db.targetClient.query(/* sql */ `truncate item, note, pair`);
  const migration = await registered(db);
  const load = new Load(() => connectTo(db.source), 4);
  try {
    await until('the load', () => load.committed > 20);
    await createSlot(migration, recordedWork());
    const atSlot = load.committed;
    await until('commits between slot and snapshot', () => load.committed > atSlot + 20);
    {
      await using _ = await holding(db, migration);
      const atSnapshot = load.committed;
      await until('commits between snapshot and copy', () => load.committed > atSnapshot + 20);
      await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
    }
  } finally {
    await load.stop();
  }
  await drain(db, migration, { batchChanges: 5_000 });
  const input = inputOf(db);
  await setSequences(migration, input);
  await expectSame(db);
});

// Protection: postgres/stream/target-writer.ts, the target transaction stays open between two pieces of one source transaction.
test('5, transactions torn apart: a transaction of any size becomes visible whole', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const seen = new Set<number>();
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'before')`);
  await db.sourceClient
    .query(/* sql */ `begin; insert into t select i, 'x' from generate_series(3, 20000) i;
    update t set v = 'y' where id % 2 = 0; delete from t where id % 3 = 0; commit`);
  await db.sourceClient.query(/* sql */ `insert into t values (100000, 'after')`);
  const end = await endMark(db);
  const streaming = streamChanges(migration, { ...OPTIONS, until: end }, testWork());
  let done = false;
  const watching = (async () => {
    while (!done) seen.add((await valuesOf(db, 'select id from t')).length);
  })();
  const report = await streaming.finally(() => {
    done = true;
  });
  await watching;
  expect(report.transactions).toBe(3);
  await expectSame(db);
  const whole = (await valuesOf(db, 'select id from t')).length;
  // before anything, after the first transaction, after the huge one, after the last one
  for (const count of seen) expect([1, 2, whole - 1, whole]).toContain(count);
});

// Protection: postgres/apply/target-table.ts, a column that is not in the change is not in the statement.
test('6, absent TOAST written as null: a large value that an update leaves unchanged stays, also under a new key', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, n int, body text not null, more text);
      alter table t alter column body set storage external; alter table t alter column more set storage external;
      insert into t select i, i, repeat(md5(i::text), 200), repeat('more', 2000) from generate_series(1, 200) i`,
  );
  // Change by change, and enough of them for a set.
  await db.sourceClient.query(/* sql */ `update t set n = -1 where id = 1`);
  await db.sourceClient.query(/* sql */ `update t set id = id + 1000 where id = 2`);
  await drain(db, migration);
  await expectSame(db);
  await db.sourceClient.query(/* sql */ `update t set n = n + 1 where id between 10 and 90`);
  await db.sourceClient.query(
    /* sql */ `update t set id = id + 2000, more = null where id between 100 and 180`,
  );
  await drain(db, migration);
  await expectSame(db);
});

// Protection: postgres/wal2json/decode.ts, digits stay text.
test('7, numbers through floating point: every digit of bigint, numeric and float arrives', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id bigint primary key, n numeric, f float8, g float4)`,
  );
  await db.sourceClient.query(/* sql */ `insert into t values
    (9007199254740993, 1.10, 0.1, 0.1), (9223372036854775807, 123456789012345678901234567890.123456789, 5e-324, 3.4028235e38),
    (-9223372036854775808, 1e-40, 1.7976931348623157e308, 1e-45), (0, 100, '-0', '-0')`);
  await db.sourceClient.query(
    /* sql */ `update t set n = n + 0.00000000000000000001 where id <> 0`,
  );
  await drain(db, migration);
  await expectSame(db);
  expect(await valuesOf(db, 'select id::text from t order by id')).toEqual([
    '-9223372036854775808',
    '0',
    '9007199254740993',
    '9223372036854775807',
  ]);
});

// Protection: postgres/apply/non-finite.ts (wal2json 2.5), `numeric-data-types-as-string` (2.6).
test('8, NaN to null: NaN and infinities arrive, and a null next to them stays null', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, n numeric, f float8, g float4)`,
  );
  await db.sourceClient.query(/* sql */ `insert into t values
    (1, 'NaN', 'NaN', 'NaN'), (2, 'Infinity', '-Infinity', 'Infinity'), (3, null, null, null), (4, 1, 1, 1)`);
  await db.sourceClient.query(/* sql */ `update t set n = '-Infinity', g = null where id = 4`);
  await drain(db, migration);
  await expectSame(db);
  expect(await valuesOf(db, 'select n::text from t order by id')).toEqual([
    'NaN',
    'Infinity',
    null,
    '-Infinity',
  ]);
});

// Protection: postgres/apply/fold.ts and postgres/drift/mapped-change.ts.
test('9, key changes and TRUNCATE ignored: both are applied, at their place between the other changes', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v text); create table u (id int primary key, v text);
      insert into t select i, 'v' || i from generate_series(1, 100) i; insert into u select * from t`,
  );
  await db.sourceClient.query(/* sql */ `update t set id = 500 where id = 5`);
  await db.sourceClient.query(/* sql */ `update t set id = id + 1000 where id > 10`);
  await db.sourceClient.query(/* sql */ `insert into t values (5, 'another'), (11, 'eleven')`);
  await drain(db, migration);
  await expectSame(db);
  await db.sourceClient.query(
    /* sql */ `begin; insert into u values (101, 'gone'); truncate u; insert into u values (1, 'new'); commit`,
  );
  await drain(db, migration);
  await expectSame(db);
  expect(await valuesOf(db, 'select v from u')).toEqual(['new']);
});

// Protection: postgres/cutover/set-sequences.ts. A test of a whole migration (tests/e2e) covers that a cutover calls it.
test('10, sequences set at copy time only: what was drawn after the copy is never drawn again', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id bigint generated by default as identity primary key, v text);
      create sequence free increment 5; insert into t (v) select 'copied' from generate_series(1, 10)`,
  );
  await setSequences(migration, inputOf(db));
  await db.sourceClient
    .query(/* sql */ `insert into t (v) select 'later' from generate_series(1, 30);
    delete from t where id > 20; select nextval('free')`);
  await drain(db, migration);
  await setSequences(migration, inputOf(db));
  await expectSame(db);
  // max(id) would give 21, which the source has drawn and deleted.
  expect(
    await valuesOf(db, /* sql */ `insert into t (v) values ('first on the target') returning id`),
  ).toEqual(['41']);
});
