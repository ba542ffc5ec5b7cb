/** The slot of the way back before the release: whatever becomes of it, it can be made again; afterwards it never is. */
import { expect, test } from 'vitest';
import { reverseOf } from '../../../contract/reversed.ts';
import { dropLostSlot } from '../../../postgres/slot/drop-slot.ts';
import { dropReverseSlot } from '../../../postgres/switchback/reverse-end.ts';
import { planReverse } from '../../../postgres/switchback/reverse-plan.ts';
import { advanceReverseSlot, openWayBack } from '../../../postgres/switchback/reverse-slot.ts';
import { startReverse } from '../../../postgres/switchback/reverse-start.ts';
import { findPostgres } from '../../../scripts/local/setup/postgres-programs.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { drainBack, expectAlike, release, reverseSlot } from '../../support/reverse-round.ts';
import { drain, EVERYTHING, startMigration, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';
import { failure } from '../schema/schema-fidelity.ts';

const TABLES = { ...EVERYTHING, viaPartitionRoot: [] };
const DDL = /* sql */ `create table t (id int primary key); create table opened (open bool primary key)`;

/** Opened again after the slot was lost in this way, and switched: the application's rows return. */
async function returnsAfter(db: FreshPair, lose: (slot: string) => Promise<void>): Promise<void> {
  const migration = await startMigration(db, DDL);
  await openWayBack(migration, testWork());
  const before = await advanceReverseSlot(migration, null, testWork());
  await lose(reverseOf(migration).slot);
  await failure(advanceReverseSlot(migration, before, testWork()), 'SlotMissing');
  const { consistentLsn } = await openWayBack(migration, testWork());
  expect((await reverseSlot(db, migration))?.confirmed).toBe(consistentLsn);
  await advanceReverseSlot(migration, null, testWork());
  await drain(db, migration);
  await planReverse(migration, { tables: TABLES }, testWork());
  await startReverse(migration, await release(db, migration), testWork());
  await db.targetClient.query(/* sql */ `insert into t values (1)`);
  await drainBack(db, migration, TABLES);
  await expectAlike(db);
  await dropReverseSlot(migration);
}

test('a slot of the way back that someone dropped is made again, and the way back starts with it', async () => {
  await using db = await freshPair();
  await returnsAfter(db, async (slot) => {
    await db.targetClient.query(/* sql */ `select pg_drop_replication_slot($1)`, [slot]);
  });
});

test('one that the server has invalidated is dropped and made again, and the way back starts with it', async () => {
  const { folder } = findPostgres() ?? expect.fail('no PostgreSQL');
  await using server = await serverOf('target', { folder, version: 'limited' });
  await using db = await freshPair({ target: server });
  await returnsAfter(db, async (slot) => {
    const fresh = db.targetClient;
    await fresh.query(`alter system set max_slot_wal_keep_size = '1MB'`);
    await fresh.query(`select pg_reload_conf()`);
    const lost = async () => {
      await fresh.query(
        /* sql */ `select count(pg_logical_emit_message(true, 'filler', repeat('x', 8000000))) from generate_series(1, 4)`,
      );
      await fresh.query('checkpoint');
      const { rows } = await fresh.query<{ status: string }>(
        /* sql */ `select wal_status as status from pg_replication_slots where slot_name = $1`,
        [slot],
      );
      return rows[0]?.status === 'lost';
    };
    await until('the slot to be lost', lost);
    await fresh.query(`alter system reset max_slot_wal_keep_size`);
    await fresh.query(`select pg_reload_conf()`);
  });
});

test('dropping an invalidated slot leaves a usable one: an attempt that wakes up does not drop what another one has made', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, DDL);
  await openWayBack(migration, testWork());
  await dropLostSlot(db.targetClient, reverseOf(migration).slot);
  expect(await reverseSlot(db, migration)).not.toBeNull();
  await dropReverseSlot(migration);
});

test('after the release a slot that is missing is never made again', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, DDL);
  await openWayBack(migration, testWork());
  await drain(db, migration);
  await planReverse(migration, { tables: TABLES }, testWork());
  await startReverse(migration, await release(db, migration), testWork());
  await dropReverseSlot(migration);
  await failure(openWayBack(migration, testWork()), 'SlotMissing');
  expect(await reverseSlot(db, migration)).toBeNull();
});
