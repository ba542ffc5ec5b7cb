/** Types, schemas and identities that change while the stream runs, on real servers; each test ends with an exact comparison. */
import { expect, test } from 'vitest';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair } from '../../support/database.ts';
import { expectSame, startMigration } from '../../support/stream.ts';

const ENUM = /* sql */ `create type mood as enum ('good', 'bad');
  create table t (id int primary key, m mood, list mood[]); insert into t values (1, 'good', '{good,bad}'), (2, 'bad', null);`;

test('a value added to an enum: the first change with it stops the stream, which continues after the same on the target', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, ENUM);
  const added = /* sql */ `alter type mood add value 'so so' before 'bad'`;
  await db.sourceClient.query(added);
  await db.sourceClient.query(
    /* sql */ `insert into t values (3, 'good', '{}'); update t set list = '{"so so"}' where id = 2`,
  );
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'ChangeFailed',
    details: { table: 'public.t', sqlstate: '22P02' },
  });
  await db.targetClient.query(added);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('a renamed enum value is found though no change uses it, and every table that uses the enum is resynced', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${ENUM} create domain moods as mood[]; create type outer_one as (a int, m moods);
      create table deep (id int primary key, v outer_one[]); create table other (id int primary key);`,
  );
  const renamed = /* sql */ `alter type mood rename value 'good' to 'it''s fine'`;
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'good', '{good}')`);
  await db.sourceClient.query(renamed);
  await db.sourceClient.query(/* sql */ `insert into t values (4, 'bad', '{bad}')`);
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({ code: 'SchemaDrift' });
  // Every column of that type, and no label: those are values.
  expect(failure?.message).toContain('public.deep.v uses public.mood, which lacks labels');
  expect(failure?.message).toContain('public.t.list uses public.mood');
  expect(failure?.message).toContain('alter type … rename value there');
  expect(failure?.message).not.toMatch(/fine|good/);
  await db.targetClient.query(renamed);
  const copied = (await drainWithCopies(db, migration)).join('; ');
  expect(copied).toContain('public.t uses public.mood, whose labels were renamed');
  expect(copied).toContain('public.deep uses public.mood');
  expect(copied).not.toContain('public.other');
  await expectSame(db);
});

test('a column that gets a nondeterministic collation stops the stream until the target has it, too', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      create table t (id int primary key, mail text unique); insert into t values (1, 'a')`,
  );
  const altered = /* sql */ `alter table t alter mail type text collate ci`;
  await db.sourceClient.query(altered);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'b')`);
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({ code: 'SchemaDrift' });
  expect(failure?.message).toContain(
    'public.t.mail has a nondeterministic collation (public.ci) on the source, a deterministic one (default) on the target',
  );
  await db.targetClient.query(altered);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('labels that only the target has stop nothing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, ENUM);
  await db.targetClient.query(/* sql */ `alter type mood add value 'later' before 'good'`);
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'good', '{}')`);
  expect(await failureOf(db, migration)).toBeNull();
  await expectSame(db);
});

test('an attribute dropped from a composite is found though no change uses it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create type pair as (a int, b text);
      create table t (id int primary key, p pair); insert into t values (1, '(1,x)'), (2, null);`,
  );
  const dropped = /* sql */ `alter type pair drop attribute b`;
  await db.sourceClient.query(dropped);
  await db.sourceClient.query(/* sql */ `insert into t values (3, null)`);
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.t', column: 'p' },
  });
  expect(failure?.message).toContain('(integer) on the source, (integer, text) on the target');
  await db.targetClient.query(dropped);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('attributes that swap names are reported: values are matched by position', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create type pair as (a int, b int);
      create table t (id int primary key, p pair); insert into t values (1, '(1,2)');`,
  );
  const swapped = /* sql */ `alter type pair rename attribute a to c; alter type pair rename attribute b to a;
    alter type pair rename attribute c to b`;
  await db.sourceClient.query(swapped);
  expect((await failureOf(db, migration))?.message).toContain(
    'whose attributes are named (b, a) on the source, (a, b) on the target',
  );
  await db.targetClient.query(swapped);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('an attribute added to a composite: the first change stops the stream, which continues after the same on the target', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create type pair as (a int, b text);
      create table t (id int primary key, p pair); insert into t values (1, '(1,x)'), (2, null);`,
  );
  const added = /* sql */ `alter type pair add attribute c numeric`;
  await db.sourceClient.query(added);
  await db.sourceClient.query(/* sql */ `insert into t values (3, '(3,z,1.50)')`);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'ChangeFailed',
    details: { table: 'public.t', sqlstate: '22P02' },
  });
  await db.targetClient.query(added);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('a table that moved to another schema stops the stream, and is exact after the same on the target', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create schema hall; create table t (id int primary key, v text); insert into t values (1, 'one');`,
  );
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'before')`);
  const moved = /* sql */ `alter table public.t set schema hall`;
  await db.sourceClient.query(`${moved}; update hall.t set v = 'after' where id = 1`);
  const failure = await failureOf(db, migration);
  expect(failure?.message).toContain('is named hall.t on the source now');
  await db.targetClient.query(moved);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('a serial column that was added is resynced: each server counted on its own', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key); insert into t select generate_series(1, 50);`,
  );
  const added = /* sql */ `alter table t add n serial`;
  // The order of the rows, and so their numbers, differs from the target.
  await db.sourceClient.query(/* sql */ `update t set id = id where id < 25`);
  await db.sourceClient.query(added);
  await db.sourceClient.query(/* sql */ `insert into t values (100)`);
  expect(await failureOf(db, migration)).toMatchObject({ code: 'SchemaDrift' });
  await db.targetClient.query(added);
  expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
  // The cutover sets sequences.
  await db.targetClient.query(/* sql */ `select setval('t_n_seq', 51)`);
  await expectSame(db);
});

test('a generated column that becomes an ordinary one is resynced', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, n int generated always as (id * 2) stored);
      insert into t select generate_series(1, 20);`,
  );
  const dropped = /* sql */ `alter table t alter n drop expression`;
  await db.sourceClient.query(dropped);
  await db.sourceClient.query(
    /* sql */ `update t set n = 7 where id = 3; insert into t values (30)`,
  );
  expect(await failureOf(db, migration)).toMatchObject({ code: 'SchemaDrift' });
  await db.targetClient.query(dropped);
  expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
  await expectSame(db);
});

test('a column that is nullable only on the source stops the stream until it is nullable on the target, too', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v text not null); insert into t values (1, 'x');`,
  );
  const dropped = /* sql */ `alter table t alter v drop not null`;
  await db.sourceClient.query(dropped);
  await db.sourceClient.query(/* sql */ `insert into t values (2, null)`);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.t' },
  });
  await db.targetClient.query(dropped);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test.each([
  [
    'is unlogged',
    'create unlogged table public.later (id int primary key)',
    'alter table public.later set logged',
  ],
  [
    'has no replica identity',
    'create table public.later (id int)',
    'alter table public.later replica identity full',
  ],
])('a new table that %s is refused until that is fixed', async (_, made, fix) => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key); insert into t values (1);`,
  );
  await db.sourceClient.query(`${made}; insert into later values (1); insert into t values (2)`);
  await db.targetClient.query(made);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.later' },
  });
  for (const client of [db.sourceClient, db.targetClient]) await client.query(fix);
  await db.sourceClient.query(/* sql */ `insert into later values (2)`);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test.each([
  ['from its key to FULL', 'default', 'full'],
  ['from FULL to its key', 'full', 'default'],
])('a replica identity that goes %s stops nothing, and every row arrives', async (_, from, to) => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v text, j json); alter table t replica identity ${from};
      insert into t select i, 'row ' || i, '{"a": 1}' from generate_series(1, 40) i;`,
  );
  const changes = (first: number): string => /* sql */ `
    update t set v = v || '.' where id % 4 = ${first % 4}; update t set id = id + 1000 where id between ${first} and ${first + 3};
    delete from t where id = ${first + 5}; insert into t values (${first + 2000}, null, null)`;
  await db.sourceClient.query(changes(1));
  await db.sourceClient.query(
    /* sql */ `begin; ${changes(11)}; alter table t replica identity ${to}; ${changes(21)}; commit`,
  );
  await db.sourceClient.query(changes(31));
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});
