/** The slot at the end of a cutover: only an attempt that has checked and found nothing drops it. */
import { expect, test } from 'vitest';
import type { Migration } from '../../contract/migration.ts';
import { writeEndMark } from '../../postgres/cutover/end-mark.ts';
import { releaseSlot } from '../../postgres/cutover/release.ts';
import { connectTo, freshPair, type FreshPair } from '../support/database.ts';
import { failure, inputOf, migrationOf } from './schema-museum.ts';

async function prepared(db: FreshPair): Promise<Migration> {
  const migration = migrationOf(db);
  await db.sourceClient.query(/* sql */ `
    create table t (id int primary key); create table left_out (id serial primary key)`);
  await db.sourceClient.query(
    /* sql */ `select pg_create_logical_replication_slot($1, 'wal2json')`,
    [migration.slot],
  );
  return migration;
}

const SELECTION = { tables: { exclude: ['public.left_out'] } };

async function slots(db: FreshPair, { slot }: Migration): Promise<number | null> {
  const { rowCount } = await db.sourceClient.query(
    /* sql */ `select from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  return rowCount;
}

test('the slot is dropped if nothing was written since the end mark, and a second attempt finds it gone', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  await db.sourceClient.query(/* sql */ `insert into t values (1)`);
  const mark = await writeEndMark(migration);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('dropped');
  expect(await slots(db, migration)).toBe(0);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('absent');
});

test('a write after the end mark, committed or not, keeps the slot and is named by its table', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  const mark = await writeEndMark(migration);
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; insert into t values (1)`);
  expect((await failure(releaseSlot(migration, input, mark), 'StillWriting')).message).toContain(
    'public.t',
  );
  await open.query(/* sql */ `commit`);
  expect((await failure(releaseSlot(migration, input, mark), 'StillWriting')).message).toContain(
    'public.t',
  );
  expect(await slots(db, migration)).toBe(1);
  expect(await releaseSlot(migration, input, await writeEndMark(migration))).toBe('dropped');
});

test('busy writers of other tables and their open transactions do not keep the slot', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  await using busy = await connectTo(db.source);
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; insert into left_out default values`);
  let writing = true;
  const writer = (async () => {
    while (writing) await busy.query(/* sql */ `insert into left_out default values`);
  })();
  const mark = await writeEndMark(migration);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('dropped');
  writing = false;
  await writer;
});

test('a writer that starts during the final check keeps the slot', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  const mark = await writeEndMark(migration);
  // The look waits for this lock when it reads the sizes of the tables, which is before it asks who writes.
  await using writer = await connectTo(db.source);
  await writer.query(/* sql */ `begin; lock table t in access exclusive mode`);
  const released = releaseSlot(migration, input, mark);
  await writer.query(/* sql */ `insert into t values (1); commit`);
  await failure(released, 'StillWriting');
  expect(await slots(db, migration)).toBe(1);
});
