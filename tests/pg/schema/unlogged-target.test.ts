/** Tables that the operator made unlogged on the target: a crash there empties them, and the stored LSN stays. */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { type MigrationInput } from '../../../contract/input-schema.ts';
import { refuseUnlogged } from '../../../postgres/cutover/unlogged-refusal.ts';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { drain, EVERYTHING, expectSame, startMigration, storedLsn } from '../../support/stream.ts';
import { CLEAN, findingsOf, only } from '../../support/preflight.ts';
import { compare } from '../../../scripts/compare/databases.ts';

const TABLE = /* sql */ `create table t (id int primary key, v int); create table other (id int primary key);
  insert into t select i, 0 from generate_series(1, 200) i; insert into other values (1)`;

function inputOf(db: FreshPair): MigrationInput {
  const parsed = parseInput({ source: db.source, target: db.target });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

test('preflight refuses unlogged tables on the target, also partitions of any level', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(CLEAN);
  await db.targetClient.query(/* sql */ `
    create unlogged table person (id bigint primary key, name text);
    create table purchase (id bigint) partition by range (id);
    create table low partition of purchase for values from (0) to (9) partition by range (id);
    create unlogged table lower partition of low for values from (0) to (5)`);
  const { message, action } = only(await findingsOf(db), 'target-unlogged');
  expect(message).toContain('public.person, public.purchase');
  expect(action).toContain('alter table public.person set logged');
});

test('a table that becomes unlogged while streaming stops the next lease, and is resynced once it is logged: a crash may have emptied it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await drain(db, migration);
  const stood = await storedLsn(db, migration);
  await db.targetClient.query(/* sql */ `alter table t set unlogged`);
  await db.sourceClient.query(/* sql */ `insert into t values (1000, 1)`);
  expect(await failureOf(db, migration)).toMatchObject({
    ...{ code: 'SchemaDrift', details: { table: 'public.t' } },
    message: expect.stringMatching(/is unlogged on the target/) as string,
  });
  expect(await storedLsn(db, migration)).toBe(stood);
  // What a crash does to it.
  await db.targetClient.query(/* sql */ `delete from t`);
  await expect(resync(db, migration)).rejects.toMatchObject({ code: 'SchemaDrift' });
  await db.targetClient.query(/* sql */ `alter table t set logged`);
  const copied = (await drainWithCopies(db, migration)).join();
  expect(copied).toContain('public.t');
  expect(copied).not.toContain('public.other');
  await expectSame(db);
});

test('a table that a crash emptied while it was unlogged, and that was logged again before a check, is resynced; so is one that was dropped and recreated', async () => {
  await using db = await freshPair();
  const ddl = /* sql */ `create table toasted (id int primary key, v text); create table counted (id serial primary key, v int);
    create table bare (id int primary key, v int); insert into bare values (1, 1), (2, 2);
    create table again (id int primary key, v int); create table other (id int primary key, v text);
    insert into toasted values (1, 'a'), (2, 'b'); insert into counted (v) values (1), (2); insert into again values (1, 1);
    insert into other values (1, 'a')`;
  const migration = await startMigration(db, ddl);
  await drainWithCopies(db, migration);
  for (const name of ['toasted', 'counted', 'bare']) {
    // What a crash in between does to it.
    await db.targetClient.query(`alter table ${name} set unlogged`);
    await db.targetClient.query(`delete from ${name}`);
    await db.targetClient.query(`alter table ${name} set logged`);
  }
  await db.targetClient.query(
    /* sql */ `drop table public.again; create table public.again (id int primary key, v int)`,
  );
  const copied = (await drainWithCopies(db, migration)).join();
  for (const name of ['toasted', 'counted', 'bare', 'again'])
    expect(copied).toContain(`public.${name} `);
  expect(copied).not.toContain('public.other');
  await expectSame(db);
  // The copy's own TRUNCATE does not count either.
  expect(await drainWithCopies(db, migration)).toEqual([]);
});

test('TRUNCATEs of the stream, VACUUM FULL, CLUSTER, REINDEX and new indexes and columns on the target cause no resync, except that VACUUM FULL and CLUSTER of a table without TOAST and owned sequence cannot be distinguished from a crash', async () => {
  await using db = await freshPair();
  const ddl = /* sql */ `create table toasted (id int primary key, v text); create table counted (id serial primary key, v int);
    create table bare (id int primary key, v int); insert into toasted values (1, 'a'); insert into bare values (1, 1);
    insert into counted (v) values (1), (2)`;
  const migration = await startMigration(db, ddl);
  await drainWithCopies(db, migration);
  await db.sourceClient.query(
    /* sql */ `truncate toasted, bare; truncate counted restart identity; insert into toasted values (2, 'b')`,
  );
  expect(await drainWithCopies(db, migration)).toEqual([]);
  for (const name of ['toasted', 'counted', 'bare']) {
    for (const sql of [
      ...(name === 'bare' ? [] : [`vacuum full ${name}`, `cluster ${name} using ${name}_pkey`]),
      `reindex table ${name}`,
      `create index on ${name} (v)`,
      `alter table ${name} add column more int`,
      `alter table ${name} set (fillfactor = 70)`,
    ]) {
      await db.targetClient.query(sql);
    }
  }
  await db.sourceClient.query(/* sql */ `truncate bare; insert into bare values (3, 3)`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  const { rows } = await db.targetClient.query(/* sql */ `select id, v from bare`);
  expect(rows).toEqual([{ id: 3, v: 3 }]);
  await db.targetClient.query(/* sql */ `vacuum full bare`);
  expect((await drainWithCopies(db, migration)).join()).toContain('public.bare ');
  expect(await drainWithCopies(db, migration)).toEqual([]);
});

test('an unlogged partition of the root that rows go through stops the stream, and the whole root is resynced', async () => {
  await using db = await freshPair();
  const selection = { ...EVERYTHING, viaPartitionRoot: ['public.m'] };
  const migration = await startMigration(
    db,
    /* sql */ `create table m (id int primary key) partition by range (id);
      create table m_1 partition of m for values from (0) to (100); insert into m select generate_series(1, 50)`,
    selection,
    /* sql */ `create table m (id int primary key) partition by hash (id);
      create table half partition of m for values with (modulus 2, remainder 0);
      create unlogged table rest partition of m for values with (modulus 2, remainder 1)`,
  );
  const failure = await failureOf(db, migration, selection);
  expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.m' } });
  await db.targetClient.query(/* sql */ `delete from rest; alter table rest set logged`);
  expect((await drainWithCopies(db, migration, selection)).join()).toContain('m_1');
  const { equal } = await compare({
    ...{ source: db.source, target: db.target, include: [], exclude: [] },
    ...{ sequences: false, md5: false, show: 5 },
  });
  expect(equal).toBe(true);
});

test('a table that becomes unlogged during a cutover keeps the cutover from completing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { signal } = new AbortController();
  await refuseUnlogged(migration, inputOf(db), signal);
  await db.targetClient.query(/* sql */ `alter table other set unlogged`);
  await expect(refuseUnlogged(migration, inputOf(db), signal)).rejects.toMatchObject({
    ...{ code: 'SchemaDrift', details: { table: 'public.other' } },
  });
});
