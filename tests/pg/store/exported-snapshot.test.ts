/**
 * Exported snapshots are taken behind the xid barrier and held until the owner is asked to stop; together with the stream's filter
 * they give exactly the rows of the source.
 */
import { randomInt } from 'node:crypto';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { compareLsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import { readSnapshots, readNewestSnapshot } from '../../../postgres/store/exported-snapshot.ts';
import { readMigration } from '../../../postgres/store/migration.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { holdSnapshot } from '../../../postgres/snapshot/snapshot-owner.ts';
import { announceNothingLeft } from '../../../postgres/snapshot/nothing-left.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { isVisible, type ExportedSnapshot } from '../../../postgres/catalog/visibility.ts';
import { decodeMessage } from '../../../postgres/wal2json/decode.ts';
import { inputOf, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { random } from '../../support/load.ts';
import { until } from '../../support/until.ts';

/** Starts a snapshot owner and waits for its snapshot. */
async function held(db: FreshPair, migration: Migration, number = 1) {
  const work = recordedWork();
  const ended: Promise<unknown> = holdSnapshot(migration, work).catch((error: unknown) => error);
  const pass = await until(`snapshot ${number}`, async () => {
    const newest = await readNewestSnapshot(db.targetClient, migration);
    return newest?.number === number ? newest : null;
  });
  return { work, ended, pass };
}

test('a snapshot is recorded with what it sees, and its backend stays until the owner is asked to stop', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const { work, ended, pass } = await held(db, migration);
  const state = await readMigration(db.targetClient, migration.id);
  expect(pass.xmin).toBeGreaterThanOrEqual(state?.barrier ?? 0n);
  const alive = () =>
    db.sourceClient
      .query(`select from pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`, [
        pass.owner.pid,
        pass.owner.started,
      ])
      .then(({ rowCount }) => rowCount === 1);
  expect(await alive()).toBe(true);
  await until('a beat', () => work.beats.some(({ step }) => step === 'holding the snapshot'));
  work.abort();
  expect(await ended).toEqual({ nothingLeft: false });
  await until('the backend to end', async () => !(await alive()));
});

test('the snapshot waits for transactions older than the xid barrier, and names them', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.source);
  const migration = await registered(db);
  await db.sourceClient.query('create table t (id int)');
  await createSlot(migration, recordedWork());
  await blocker.query('begin; insert into t values (1)');
  // Move the barrier behind the open transaction, as if it had been open when the slot became ready.
  const { rows } = await db.sourceClient.query<{ barrier: string; pid: number }>(
    `select pg_current_xact_id()::text as barrier`,
  );
  await db.targetClient.query('update walferry.migration set barrier = $2 where id = $1', [
    migration.id,
    rows[0]?.barrier,
  ]);
  const work = recordedWork();
  const ended = holdSnapshot(migration, work);
  const pid = (await blocker.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
  await until('the report', () =>
    work.beats.some(({ waitingFor }) => String(waitingFor).includes(`pid ${pid} `)),
  );
  expect(await readSnapshots(db.targetClient, migration)).toEqual([]);
  await blocker.query('commit');
  await until('the snapshot', () => readNewestSnapshot(db.targetClient, migration));
  work.abort();
  await ended;
});

test('a snapshot owner whose session is ended says so at once, and the next attempt exports the next snapshot', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const first = await held(db, migration);
  const killed = Date.now();
  await db.sourceClient.query('select pg_terminate_backend($1)', [first.pass.owner.pid]);
  expect(await first.ended).toMatchObject({ code: 'SnapshotLost' });
  expect(Date.now() - killed).toBeLessThan(2000);
  const second = await held(db, migration, 2);
  expect(second.pass.snapshot).not.toBe(first.pass.snapshot);
  second.work.abort();
  await second.ended;
});

test('a plan that finds nothing left ends the owner of its snapshot, and no other one', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const { ended, pass } = await held(db, migration);
  const input = inputOf(db);
  expect(await planCopy(migration, input, recordedWork())).toMatchObject({ runs: [] });
  expect(await ended).toEqual({ nothingLeft: true });
  const second = await held(db, migration, 2);
  await announceNothingLeft(db.targetClient, migration, pass.number);
  await until('two beats', () => second.work.beats.length > 2);
  expect(await readNewestSnapshot(db.targetClient, migration)).toMatchObject({ number: 2 });
  await announceNothingLeft(db.targetClient, migration, 2);
  expect(await second.ended).toEqual({ nothingLeft: true });
});

test('without a slot no snapshot is exported', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await expect(holdSnapshot(migration, recordedWork())).rejects.toMatchObject({
    code: 'CheckpointMissing',
  });
});

const ROUNDS = 4;
const WRITERS = 6;
/** A writer continues until the snapshot is read, however long a busy server takes for slot and snapshot, and then for this many more. */
const TRANSACTIONS_BEHIND = 30;

test('snapshot rows and the changes that the filter accepts give exactly the final rows', async () => {
  const seed = randomInt(2 ** 31);
  process.stdout.write(`filter seed ${seed}\n`);
  let applied = 0;
  let skipped = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const counts = await filterRound(seed + 1000 * round);
    applied += counts.applied;
    skipped += counts.skipped;
  }
  // A filter that never had to decide was not tested.
  expect(applied).toBeGreaterThan(0);
  expect(skipped).toBeGreaterThan(0);
});

async function filterRound(seed: number): Promise<{ applied: number; skipped: number }> {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.sourceClient.query(/* sql */ `
    create table account (id int primary key, n int not null);
    insert into account select i, 0 from generate_series(1, 50) i`);
  const snapshot = { read: false };
  const sessions = Array.from({ length: WRITERS }, (_, session) =>
    write(db, random(seed + session), session, snapshot),
  );
  await until('some writes', async () => (await sum(db.sourceClient)) > 20n);
  await createSlot(migration, recordedWork());
  await until('writes before the snapshot', async () => (await pending(db, migration)) > 20);
  const { work, ended, pass } = await held(db, migration);
  await using reader = await connectTo(db.source);
  await reader.query(
    `begin isolation level repeatable read read only; set transaction snapshot '${pass.snapshot}'`,
  );
  const rows = new Map(
    (await reader.query<{ id: number; n: number }>('select id, n from account')).rows.map(
      ({ id, n }) => [String(id), String(n)],
    ),
  );
  await reader.query('commit');
  snapshot.read = true;
  await Promise.all(sessions);
  work.abort();
  await ended;
  // Decoding stops at the flush position, and half of the writers commit asynchronously.
  await db.sourceClient.query(`select pg_logical_emit_message(true, 'flush', '')`);
  const counts = await replay(db, migration, pass, rows);
  const final = await db.sourceClient.query<{ id: string; n: string }>(
    'select id::text, n::text from account order by account.id',
  );
  const byId = (a: [string, string], b: [string, string]) => Number(a[0]) - Number(b[0]);
  expect([...rows].sort(byId)).toEqual(final.rows.map(({ id, n }) => [id, n]));
  return counts;
}

/** Applies the stream strictly: an insert of an existing row, or a change of a missing one, is an error of the filter. */
async function replay(
  db: FreshPair,
  migration: Migration,
  pass: ExportedSnapshot,
  rows: Map<string, string>,
): Promise<{ applied: number; skipped: number }> {
  const stream = await db.sourceClient.query<{ data: string }>(
    /* sql */ `select data from pg_logical_slot_get_changes($1, null, null,
      'format-version', '2', 'include-types', 'off', 'include-xids', 'on', 'include-lsn', 'on',
      'include-timestamp', 'on', 'add-tables', 'public.account')`,
    [migration.slot],
  );
  let applied = 0;
  let skipped = 0;
  for (const { data } of stream.rows) {
    const message = decodeMessage(data);
    if (message.action === 'C' && isVisible(message.xid, pass)) {
      // The filter may end at the noted position: nothing from there on is skipped.
      expect(compareLsn(message.lsn, pass.lsn)).toBeLessThan(0);
    }
    if (message.action !== 'I' && message.action !== 'U' && message.action !== 'D') continue;
    if (isVisible(message.xid, pass)) {
      skipped += 1;
      continue;
    }
    applied += 1;
    const cells = (list: readonly { name: string; value: string | null }[]) =>
      Object.fromEntries(list.map(({ name, value }) => [name, value ?? '']));
    const after = cells(message.columns);
    const before = cells(message.identity);
    if (message.action !== 'I' && !rows.delete(before['id'] ?? '')) {
      throw new Error(`${message.action} of a row that is not there, transaction ${message.xid}`);
    }
    if (message.action === 'D') continue;
    if (rows.has(after['id'] ?? '')) {
      throw new Error(`a row that is there already, transaction ${message.xid}`);
    }
    rows.set(after['id'] ?? '', after['n'] ?? '');
  }
  return { applied, skipped };
}

async function sum(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query<{ n: string }>(
    'select coalesce(sum(n), 0)::text as n from account',
  );
  return BigInt(rows[0]?.n ?? 0);
}

async function pending(db: FreshPair, migration: Migration): Promise<number> {
  const { rowCount } = await db.sourceClient.query(
    `select from pg_logical_slot_peek_changes($1, null, 100, 'format-version', '2')`,
    [migration.slot],
  );
  return rowCount ?? 0;
}

/** One writer: short and long transactions, subtransactions, prepared ones, upserts, row locks, rollbacks. */
async function write(
  db: FreshPair,
  rnd: () => number,
  session: number,
  snapshot: { readonly read: boolean },
): Promise<void> {
  await using client = await connectTo(db.source);
  await client.query(
    `set lock_timeout = '2s'; set synchronous_commit = ${session % 2 ? 'on' : 'off'}`,
  );
  const pick = (n: number) => Math.floor(rnd() * n) + 1;
  const statement = () => {
    const id = pick(80);
    switch (pick(6)) {
      case 1:
        return `delete from account where id = ${id}`;
      case 2:
      case 3:
        return `insert into account values (${id}, 1) on conflict (id) do update set n = account.n + 1`;
      case 4:
        return `select from account where id = ${id} for update`;
      default:
        return `update account set n = n + 1 where id = ${id}`;
    }
  };
  for (let i = 0, behind = 0; behind < TRANSACTIONS_BEHIND; i += 1) {
    if (snapshot.read) behind += 1;
    const gid = `${db.source}_${session}_${i}`;
    try {
      await client.query('begin');
      for (let j = pick(4); j > 0; j -= 1) await client.query(statement());
      if (rnd() < 0.3) {
        for (let j = pick(5); j > 0; j -= 1) {
          await client.query('savepoint s');
          await client.query(statement());
          if (rnd() < 0.4) await client.query('rollback to s');
        }
      }
      if (rnd() < 0.3) await client.query(`select pg_sleep(${(rnd() * 0.02).toFixed(4)})`);
      if (rnd() < 0.2) {
        await client.query(`prepare transaction '${gid}'`);
        await client.query(`select pg_sleep(${(rnd() * 0.05).toFixed(4)})`);
        await client.query(`${rnd() < 0.8 ? 'commit' : 'rollback'} prepared '${gid}'`);
      } else {
        await client.query(rnd() < 0.85 ? 'commit' : 'rollback');
      }
    } catch {
      // Deadlocks and lock timeouts are part of the load.
      await client.query('rollback');
    }
  }
}
