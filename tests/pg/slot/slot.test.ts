/** Creating and dropping the slot: idempotent, without orphans, and with an xid barrier behind which nothing is lost. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { readMigration } from '../../../postgres/store/migration.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { dropSlot } from '../../../postgres/slot/drop-slot.ts';
import { probePluginOptions } from '../../../postgres/slot/plugin-probe.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { recordedWork, registered } from '../../support/control.ts';
import { observed } from '../../support/observed.ts';
import { until } from '../../support/until.ts';

async function slotOf(db: FreshPair, name: string) {
  const { rows } = await db.sourceClient.query<{ confirmed: string | null; pid: number | null }>(
    `select confirmed_flush_lsn::text as confirmed, active_pid as pid from pg_replication_slots where slot_name = $1`,
    [name],
  );
  return rows[0];
}

test('slot and xid barrier are created, stored, and recognised by the next attempt', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const report = await createSlot(migration, recordedWork());
  const state = await readMigration(db.targetClient, migration.id);
  expect(report).toEqual({ slot: migration.slot, consistentLsn: state?.consistentLsn });
  expect(state?.confirmedLsn).toBe(report.consistentLsn);
  expect(await slotOf(db, migration.slot)).toEqual({ confirmed: report.consistentLsn, pid: null });
  expect(await createSlot(migration, recordedWork())).toEqual(report);
  expect((await readMigration(db.targetClient, migration.id))?.barrier).toBe(state?.barrier);
});

test('a finished slot whose result was lost is adopted, with a new xid barrier', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const made = await db.sourceClient.query<{ lsn: string }>(
    `select lsn::text from pg_create_logical_replication_slot($1, 'wal2json')`,
    [migration.slot],
  );
  const before = await db.sourceClient.query<{ xid: string }>(
    'select pg_current_xact_id()::text as xid',
  );
  const report = await createSlot(migration, recordedWork());
  expect(report.consistentLsn).toBe(made.rows[0]?.lsn);
  const state = await readMigration(db.targetClient, migration.id);
  expect(state?.barrier).toBeGreaterThan(BigInt(before.rows[0]?.xid ?? 0));
});

test('a slot that was dropped and recreated in between is not taken for the stored one', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const first = await createSlot(migration, recordedWork());
  const barrier = (await readMigration(db.targetClient, migration.id))?.barrier ?? 0n;
  await db.sourceClient.query('select pg_drop_replication_slot($1)', [migration.slot]);
  await db.sourceClient.query('create table t (id int)');
  const second = await createSlot(migration, recordedWork());
  expect(second.consistentLsn).not.toBe(first.consistentLsn);
  expect((await readMigration(db.targetClient, migration.id))?.barrier).toBeGreaterThan(barrier);
});

test('a missing slot is an error once a snapshot depended on it', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  await db.targetClient.query(
    `insert into walferry.exported_snapshot values ($1, 1, 'x', 1, 1, '{}', '0/1', 1, now())`,
    [migration.id],
  );
  await db.sourceClient.query('select pg_drop_replication_slot($1)', [migration.slot]);
  await expect(createSlot(migration, recordedWork())).rejects.toMatchObject({
    code: 'SlotMissing',
  });
});

test('an open transaction blocks the slot: it is reported by its pid, and no slot is left', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.source);
  const migration = await registered(db);
  await db.sourceClient.query('create table t (id int)');
  await blocker.query('begin; insert into t values (4711)');
  const { rows } = await blocker.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid ?? 0;
  const work = recordedWork();
  const attempt = createSlot(migration, work, { lockTimeoutMs: 3000 });
  await expect(attempt).rejects.toMatchObject({ code: 'SlotBlocked' });
  const error: unknown = await attempt.catch((e: unknown) => e);
  expect(String(error)).toContain(`pid ${pid}`);
  expect(String(error)).not.toContain('4711');
  expect(String(work.beats[0]?.['waitingFor'])).toContain(`pid ${pid}`);
  expect(await slotOf(db, migration.slot)).toBeUndefined();
  await blocker.query('commit');
  await createSlot(migration, recordedWork());
});

test('a prepared transaction that blocks is named', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.sourceClient.query('create table t (id int)');
  await db.sourceClient.query(
    `begin; insert into t values (1); prepare transaction 'forgotten_${db.source}'`,
  );
  const work = recordedWork();
  await expect(createSlot(migration, work, { lockTimeoutMs: 1500 })).rejects.toThrow(
    `prepared transaction "forgotten_${db.source}"`,
  );
  await db.sourceClient.query(`rollback prepared 'forgotten_${db.source}'`);
});

test('an abort ends the waiting creator: no slot appears later', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.source);
  const migration = await registered(db);
  await db.sourceClient.query('create table t (id int)');
  await blocker.query('begin; insert into t values (1)');
  const work = recordedWork();
  const attempt = observed(createSlot(migration, work));
  await until('the creator to wait', async () => (await slotOf(db, migration.slot))?.pid);
  work.abort(new Error('enough'));
  await expect(attempt).rejects.toThrow('enough');
  await until('the slot to be gone', async () => !(await slotOf(db, migration.slot)));
  await blocker.query('commit');
  expect(await slotOf(db, migration.slot)).toBeUndefined();
});

test('an orphaned session that is still creating the slot is ended, by the next attempt and by dropSlot', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.source);
  const migration = await registered(db);
  await db.sourceClient.query('create table t (id int)');
  await blocker.query('begin; insert into t values (1)');
  const orphan = async () => {
    const client = await connectTo(db.source);
    const creating = client
      .query(
        `select pg_create_logical_replication_slot(${pg.escapeLiteral(migration.slot)}, 'wal2json')`,
      )
      .then(
        () => 'made',
        () => 'ended',
      );
    await until('the orphan to wait', async () => (await slotOf(db, migration.slot))?.pid);
    return { client, creating };
  };
  const first = await orphan();
  expect(await dropSlot(migration)).toBe('dropped');
  expect(await first.creating).toBe('ended');
  expect(await slotOf(db, migration.slot)).toBeUndefined();

  const second = await orphan();
  const attempt = createSlot(migration, recordedWork());
  expect(await second.creating).toBe('ended');
  await blocker.query('commit');
  const report = await attempt;
  expect((await slotOf(db, migration.slot))?.confirmed).toBe(report.consistentLsn);
});

test('dropping ends the session that uses the slot, and may be repeated', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const user = new pg.Client({
    ...(await import('../../../postgres/connection/connect.ts')).clientConfig(db.source, 'stream'),
    // @ts-expect-error: a walsender session, which the driver passes on without knowing it
    replication: 'database',
  });
  user.on('error', () => undefined);
  await user.connect();
  const using = user
    .query(`START_REPLICATION SLOT ${migration.slot} LOGICAL 0/0`)
    .catch(() => undefined);
  await until('the slot to be in use', async () => (await slotOf(db, migration.slot))?.pid);
  expect(await dropSlot(migration)).toBe('dropped');
  expect(await slotOf(db, migration.slot)).toBeUndefined();
  expect(await dropSlot(migration)).toBe('absent');
  await using;
});

test('a role without the REPLICATION right gets that as the reason, not the plugin', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const role = `plain_${db.source}`;
  await db.sourceClient.query(`create role ${role} login`);
  try {
    const { addService, sourceServer } = await import('../../support/database.ts');
    const password = 'pw';
    await db.sourceClient.query(`alter role ${role} password '${password}'`);
    const service = `plain_service_${db.source}`;
    addService(service, {
      host: '127.0.0.1',
      port: String(sourceServer().port),
      dbname: db.source,
      user: role,
      password,
    });
    await expect(
      createSlot({ ...migration, source: service }, recordedWork()),
    ).rejects.toMatchObject({ code: 'Denied' });
  } finally {
    await db.sourceClient.query(`drop role ${role}`);
  }
});

test('the plugin’s abilities are detected on the slot, without moving it', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const { consistentLsn } = await createSlot(migration, recordedWork());
  const { numericAsText } = await probePluginOptions(db.sourceClient, migration.slot);
  const tried = await db.sourceClient
    .query(
      `select from pg_logical_slot_peek_changes($1, null, null, 'numeric-data-types-as-string', 'on')`,
      [migration.slot],
    )
    .then(
      () => true,
      () => false,
    );
  expect(numericAsText).toBe(tried);
  expect((await slotOf(db, migration.slot))?.confirmed).toBe(consistentLsn);
  await expect(probePluginOptions(db.sourceClient, 'no_such_slot')).rejects.toMatchObject({
    code: 'SlotMissing',
  });
});
