/** Planning a pass of the copy: what is left, under an exported snapshot that is still held, in a few hundred runs. */
import { expect, test, vi } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { ignoredAmong, NOTHING_IGNORED } from '../../../postgres/catalog/ignore-patterns.ts';
import { readRelations } from '../../../postgres/catalog/read-relations.ts';
import { connectTarget } from '../../../postgres/session/open.ts';
import { recordSnapshot } from '../../../postgres/store/exported-snapshot.ts';
import { takeTurn } from '../../../postgres/store/turn.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { copyChunks } from '../../../postgres/snapshot/copy-run.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { HOLD_LOCK } from '../../../postgres/snapshot/test-hold.ts';
import { takeTables } from '../../../postgres/snapshot/pass-assignment.ts';
import { observed } from '../../support/observed.ts';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { copyAll, holding, inputOf, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { until } from '../../support/until.ts';

const MEBIBYTE = 1024 * 1024;
const EVERYTHING = { include: ['*.*'], exclude: [] };

async function prepared(db: FreshPair, tables: string, rows = ''): Promise<Migration> {
  await db.sourceClient.query(tables);
  await db.targetClient.query(tables);
  if (rows !== '') await db.sourceClient.query(rows);
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  return migration;
}

/** What the stream notes of tables that the next pass has to copy. */
async function again(db: FreshPair, ...names: string[]): Promise<void> {
  await db.targetClient.query(
    `update walferry.relation set state = 'resync', reason = 'changed' where table_name = any($1)`,
    [names],
  );
}

test('the plan waits for an exported snapshot, and a dead one does not count', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  const dead = await holding(db, migration);
  await dead.stop();
  const work = recordedWork();
  const waiting = planCopy(migration, inputOf(db), work);
  await until('the plan to wait', () =>
    work.beats.some(({ step }) => step === 'waiting for a snapshot'),
  );
  await using held = await holding(db, migration);
  expect((await waiting).pass).toBe(held.pass.number);
});

test('a planner that hangs with the control row locked is ended by the next attempt', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  await using _ = await holding(db, migration);
  const stopped = await connectTarget(migration, 'plan');
  await stopped.join();
  await stopped.query('begin');
  await stopped.query('select from walferry.migration for update');
  expect((await planCopy(migration, inputOf(db), recordedWork())).runs).toHaveLength(1);
  await expect(stopped.query('commit')).rejects.toThrow();
});

test('a copier of an earlier pass that froze between its mark and its commit is ended by the plan that it blocks', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)', 'insert into t values (1)');
  const held = await holding(db, migration);
  const { runs } = await planCopy(migration, inputOf(db), recordedWork());
  // The chunk's claim and the locked row of its table are what a copier has just before its commit.
  const frozen = await connectTo(db.target);
  await frozen.query('begin');
  await frozen.query('select pg_advisory_xact_lock(hashtext($1), $2)', [
    migration.id,
    runs[0]?.firstChunk,
  ]);
  await frozen.query('select from walferry.relation for update');
  await held.stop();
  await using _second = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await expect(frozen.query('commit')).rejects.toThrow();
  await expectEqual(db.sourceClient, db.targetClient);
});

test('an abort ends the wait with its reason', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)');
  const work = recordedWork();
  const waiting = observed(planCopy(migration, inputOf(db), work));
  work.abort(new Error('no longer'));
  await expect(waiting).rejects.toThrow('no longer');
});

test('planning twice gives the same plan, and a finished one needs no snapshot owner', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table a (id int); create table b (id int)',
    'insert into a values (1); insert into b values (1)',
  );
  const held = await holding(db, migration);
  const first = await planCopy(migration, inputOf(db), recordedWork());
  expect(await planCopy(migration, inputOf(db), recordedWork())).toEqual(first);
  await copyAll(migration, first);
  await held.stop();
  const last = await planCopy(migration, inputOf(db), recordedWork());
  expect(last).toMatchObject({ pass: 1, runs: [], tables: 2, chunksDone: 1, rows: 2 });
});

test('a table that is missing or different on the target stops the plan with its name', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table t (id int)');
  await db.sourceClient.query('create table late (id int)');
  await using _held = await holding(db, migration);
  const attempt = observed(planCopy(migration, inputOf(db), recordedWork()));
  await expect(attempt).rejects.toMatchObject({ code: 'SchemaDrift' });
  await expect(attempt).rejects.toThrow('public.late is missing on the target');
  await db.targetClient.query('create table public.late (id int)');
  expect((await planCopy(migration, inputOf(db), recordedWork())).tables).toBe(2);
});

test('a plan of 100,000 chunks is written and read, in a few hundred runs', async () => {
  await using db = await freshPair();
  const migration = await prepared(db, 'create table huge (id int)');
  await using held = await holding(db, migration);
  const relations = await readRelations(db.sourceClient, EVERYTHING);
  const pages = 100_000 * 2048;
  await takeTables(db.targetClient, migration, held.pass.number, {
    turn: await takeTurn(db.targetClient, migration, undefined),
    found: relations.map((relation) => ({ ...relation, pages, bytes: pages * 8192 })),
    definitions: new Map(),
    types: new Map(),
    schemas: new Map(),
    counterparts: [],
    selection: EVERYTHING,
    unsplittable: new Set(),
    ignored: ignoredAmong([], NOTHING_IGNORED),
    chunkBytes: 16 * MEBIBYTE,
  });
  const plan = await planCopy(migration, inputOf(db), recordedWork());
  expect(plan.chunksTotal).toBe(100_000);
  expect(plan.runs.length).toBeLessThanOrEqual(200);
  expect(plan.runs.at(-1)).toMatchObject({ label: 'public.huge 200/200', lastChunk: 100_000 });
  // Far below Temporal's limit of 2 MiB for one payload.
  expect(JSON.stringify(plan).length).toBeLessThan(100_000);
});

test('hundreds of small tables make a handful of chunks, and all arrive', async () => {
  await using db = await freshPair();
  const names = Array.from({ length: 600 }, (_, i) => `t${i}`);
  const migration = await prepared(
    db,
    names.map((name) => `create table ${name} (id int)`).join(';'),
    names.map((name, i) => `insert into ${name} values (${i})`).join(';'),
  );
  await using _held = await holding(db, migration);
  const plan = await planCopy(migration, inputOf(db), recordedWork());
  expect(plan.chunksTotal).toBe(3);
  expect(plan.runs.map(({ label }) => label)).toEqual([
    '600 small tables 1/3',
    '600 small tables 2/3',
    '600 small tables 3/3',
  ]);
  await copyAll(migration, plan);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a bundle keeps its mark when one of its tables is due for the next pass', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table a (id int); create table b (id int)',
    'insert into a values (1); insert into b values (1)',
  );
  const held = await holding(db, migration);
  const first = await planCopy(migration, inputOf(db), recordedWork());
  await db.sourceClient.query('truncate a; insert into a values (2)');
  await copyAll(migration, first);
  await held.stop();
  await using _second = await holding(db, migration);
  const second = await planCopy(migration, inputOf(db), recordedWork());
  const marks = await db.targetClient.query(
    'select relations, pass, done_at is not null as done from walferry.chunk order by id',
  );
  expect(marks.rows).toEqual([
    { relations: [2], pass: 1, done: true },
    { relations: [1], pass: 2, done: false },
  ]);
  await copyAll(migration, second);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a table that foreign keys of others refer to is emptied without touching those', async () => {
  await using db = await freshPair();
  const tables = /* sql */ `
    create table big (id int primary key, filler text);
    create table small (id int references big on delete cascade)`;
  const migration = await prepared(
    db,
    tables,
    `insert into big select i, repeat(md5(i::text), 8) from generate_series(1, 12000) i;
     insert into small select generate_series(1, 100)`,
  );
  const input = inputOf(db, { copy: { chunkMegabytes: 1 } });
  const held = await holding(db, migration);
  const first = await planCopy(migration, input, recordedWork());
  const copied = first.runs.filter(({ label }) => !label.endsWith('1/4'));
  expect(copied.length).toBeGreaterThan(1);
  for (const run of copied) {
    await copyChunks(migration, { pass: first.pass, run }, recordedWork());
  }
  await held.stop();
  await using _second = await holding(db, migration);
  const second = await planCopy(migration, input, recordedWork());
  expect((await db.targetClient.query('select from public.big')).rowCount).toBe(0);
  expect((await db.targetClient.query('select from public.small')).rowCount).toBe(100);
  await copyAll(migration, second);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('tables in a chain of foreign keys are emptied together, also when others refer to the chain', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    /* sql */ `
    create table customer (id int primary key);
    create table orders (id int primary key, customer int references customer);
    create table item (id int primary key, orders int references orders)`,
    `insert into customer values (1), (2); insert into orders values (1, 1), (2, 2); insert into item values (1, 1)`,
  );
  const held = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await held.stop();
  await db.sourceClient.query(`insert into customer values (3); insert into orders values (3, 3)`);
  await again(db, 'customer', 'orders');
  await using _second = await holding(db, migration);
  const second = await planCopy(migration, inputOf(db), recordedWork());
  expect((await db.targetClient.query('select from public.item')).rowCount).toBe(1);
  await copyAll(migration, second);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a chunk that commits while its table moves to the next pass is emptied like those that were marked before', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table t (id int, v text); alter table t replica identity full',
    `insert into t select i, 'a' from generate_series(1, 500) i`,
  );
  const first = await holding(db, migration);
  const { pass, runs } = await planCopy(migration, inputOf(db), recordedWork());
  // Holds the copier in the middle of its chunk, and the next plan before it ends the copier.
  await using lock = await connectTo(db.target);
  await lock.query('begin; lock table t in share mode');
  await using hold = await connectTo(db.target);
  await hold.query(`select pg_advisory_lock(${HOLD_LOCK})`);
  const [run] = runs;
  if (!run) throw new Error('no run');
  const copying = copyChunks(migration, { pass, run }, recordedWork());
  await until('the copier to wait with its snapshot', async () => {
    const waits = `select from pg_locks where not granted and relation = 't'::regclass`;
    const reads = `select from pg_stat_activity
      where datname = current_database() and application_name like '%copy%' and backend_xmin is not null`;
    const waiting = (await db.targetClient.query(waits)).rowCount;
    return waiting === 1 && (await db.sourceClient.query(reads)).rowCount === 1;
  });
  await first.stop();
  await using _second = await holding(db, migration);
  vi.stubEnv('WALFERRY_HOLDPOINT', 'before-ending-copiers');
  try {
    const planning = planCopy(migration, inputOf(db), recordedWork());
    await until('the plan to be held', async () => {
      const sql = `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                      and query like '%pg_try_advisory_lock_shared(${HOLD_LOCK})%'`;
      return (await db.targetClient.query(sql)).rowCount === 1;
    });
    await lock.query('commit');
    await copying;
    await hold.query(`select pg_advisory_unlock(${HOLD_LOCK})`);
    await copyAll(migration, await planning);
  } finally {
    vi.unstubAllEnvs();
  }
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a table that enters the selection is not copied under an older snapshot, though its owner still exists', async () => {
  await using db = await freshPair();
  const tables = { include: ['public.*'], exclude: [] };
  const migration = await prepared(
    db,
    'create table kept (id int primary key); create schema outside; create table outside.t (id int primary key)',
    'insert into kept values (1); insert into outside.t select generate_series(1, 100)',
  );
  const input = inputOf(db, { tables });
  await using _lingering = await holding(db, migration);
  const first = await planCopy(migration, input, recordedWork());
  const move = 'alter table outside.t set schema public';
  await db.sourceClient.query(move);
  await db.targetClient.query(move);
  await copyAll(migration, first);
  expect(await failureOf(db, migration, tables)).toMatchObject({ code: 'Resync' });
  const work = recordedWork();
  const planning = planCopy(migration, input, work);
  await until('the plan to wait', () =>
    work.beats.some(({ step }) => step === 'waiting for a snapshot'),
  );
  await using _next = await holding(db, migration);
  const second = await planning;
  expect(second.pass).toBe(first.pass + 1);
  await copyAll(migration, second);
  await db.sourceClient.query('insert into t values (101)');
  expect(await failureOf(db, migration, tables)).toBeNull();
  await expectEqual(db.sourceClient, db.targetClient);
});

test('nothing is copied under a snapshot from before the confirmed LSN, though its owner still exists', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await using old = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await db.sourceClient.query('insert into t values (2)');
  const { rows } = await db.sourceClient.query<{ lsn: string }>(
    'select pg_current_wal_insert_lsn()::text as lsn',
  );
  await db.targetClient.query('insert into public.t values (2)');
  await db.targetClient.query('update walferry.migration set confirmed_lsn = $1', [rows[0]?.lsn]);
  // A later snapshot than that of t: the earlier check does not exclude it.
  await again(db, 't');
  await db.targetClient.query(
    'update walferry.exported_snapshot set number = 2; update walferry.chunk set pass = 2',
  );
  const work = recordedWork();
  const waiting = planCopy(migration, inputOf(db), work);
  await until('the plan to wait', () =>
    work.beats.some(({ step }) => step === 'waiting for a snapshot'),
  );
  await using held = await holding(db, migration);
  const plan = await waiting;
  expect(plan.pass).toBe(held.pass.number);
  await copyAll(migration, plan);
  await expectEqual(db.sourceClient, db.targetClient);
  const found = await readRelations(db.sourceClient, EVERYTHING);
  const late = recordSnapshot(db.targetClient, migration, old.pass);
  await expect(late).rejects.toMatchObject({ code: 'SnapshotLost' });
  await db.targetClient.query('update walferry.migration set confirmed_lsn = $1', ['F0000000/0']);
  await expect(
    takeTables(db.targetClient, migration, plan.pass, {
      turn: await takeTurn(db.targetClient, migration, undefined),
      found,
      definitions: new Map(),
      types: new Map(),
      schemas: new Map(),
      counterparts: [],
      selection: EVERYTHING,
      unsplittable: new Set(),
      ignored: ignoredAmong([], NOTHING_IGNORED),
      chunkBytes: MEBIBYTE,
    }),
  ).rejects.toMatchObject({ code: 'SnapshotLost' });
});

test('a table renamed on both sides between two passes is not copied onto its own rows, and no new table onto others', async () => {
  await using db = await freshPair();
  // Without a key nothing would refuse a second copy of a row.
  const migration = await prepared(
    db,
    'create table t (id int); create table x (id int)',
    'insert into t values (1); insert into x values (1)',
  );
  const held = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await held.stop();
  await again(db, 'x');
  for (const side of [db.sourceClient, db.targetClient]) {
    await side.query('alter table public.t rename to u');
    await side.query('create table public.fresh (id int); insert into public.fresh values (1)');
  }
  await using _second = await holding(db, migration);
  await expect(planCopy(migration, inputOf(db), recordedWork())).rejects.toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.fresh' },
  });
  await db.targetClient.query('truncate public.fresh');
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await expectEqual(db.sourceClient, db.targetClient);
});

test('emptying a table is reported while the server works on it, and an abort ends it at once', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table big (id int primary key); create table small (id int references big)',
    'insert into big values (1); insert into small values (1)',
  );
  const held = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await held.stop();
  // Simulates a table so large that deleting its rows takes longer than any timeout.
  await db.targetClient.query(/* sql */ `
    create function public.slow() returns trigger language plpgsql as
      $$ begin perform pg_sleep(3600); return old; end $$;
    create trigger slow before delete on public.big for each row execute function public.slow();
    alter table public.big enable always trigger slow`);
  await again(db, 'big');
  await using _second = await holding(db, migration);
  const work = recordedWork();
  const waiting = planCopy(migration, inputOf(db), work).catch((error: unknown) => error);
  await until('the emptying to be reported', () =>
    work.beats.some(({ step }) => step === 'taking tables into the snapshot'),
  );
  work.abort(new Error('no longer'));
  expect(await waiting).toMatchObject({ message: 'no longer' });
  await until('the statement to end', async () => {
    const { rowCount } = await db.targetClient.query(
      `select from pg_stat_activity where datname = current_database() and application_name like 'walferry plan%'`,
    );
    return rowCount === 0;
  });
  expect((await db.targetClient.query('select from public.big')).rowCount).toBe(1);
});

test('tables that the next snapshot does not see (detached, given to an extension, in a renamed schema) do not count as copied: when they are back, they are copied', async () => {
  await using db = await freshPair();
  const tables = { include: ['public.part', 'public.t', 'own.*'], exclude: [] };
  const migration = await prepared(
    db,
    /* sql */ `
    create table part (id int primary key) partition by range (id);
    create table part_1 partition of part for values from (0) to (1000);
    create table part_2 partition of part for values from (1000) to (2000);
    create table t (id int primary key); create schema own; create table own.t (id int primary key)`,
    /* sql */ `
    insert into part select generate_series(900, 1099); insert into t select generate_series(1, 100);
    insert into own.t select generate_series(1, 100)`,
  );
  const input = inputOf(db, { tables });
  const first = await holding(db, migration);
  await planCopy(migration, input, recordedWork());
  await first.stop();
  await db.sourceClient.query(/* sql */ `
    alter table part detach partition part_1; alter schema own rename to away;
    create extension hstore; alter extension hstore add table t`);
  await using second = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, input, recordedWork()));
  await second.stop();
  await db.sourceClient.query(/* sql */ `
    alter table part attach partition part_1 for values from (0) to (1000);
    alter schema away rename to own; alter extension hstore drop table t; drop extension hstore`);
  const found = await failureOf(db, migration, tables);
  expect(found).toMatchObject({ code: 'Resync' });
  for (const name of ['public.part_1', 'public.t', 'own.t']) expect(found?.message).toContain(name);
  await drainWithCopies(db, migration, tables);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a partition that is detached when its copy is about to finish keeps its rows, the stream reports it, and it is copied when it is attached again', async () => {
  await using db = await freshPair();
  const tables = { include: ['public.part'], exclude: [] };
  const migration = await prepared(
    db,
    /* sql */ `
    create table part (id int primary key) partition by range (id);
    create table part_1 partition of part for values from (0) to (1000);
    create table part_2 partition of part for values from (1000) to (2000)`,
    'insert into part select generate_series(900, 1099)',
  );
  const input = inputOf(db, { tables });
  const first = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, input, recordedWork()));
  await first.stop();
  await again(db, 'part_1');
  await db.sourceClient.query('alter table part detach partition part_1');
  await using second = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, input, recordedWork()));
  await second.stop();
  expect((await db.targetClient.query('select from public.part_1')).rowCount).toBe(100);
  expect(await failureOf(db, migration, tables)).toMatchObject({ code: 'SchemaDrift' });
  await db.sourceClient.query(
    `delete from part_1 where id = 901;
     alter table part attach partition part_1 for values from (0) to (1000)`,
  );
  expect(await failureOf(db, migration, tables)).toMatchObject({ code: 'Resync' });
  await drainWithCopies(db, migration, tables);
  await expectEqual(db.sourceClient, db.targetClient);
});

test('a table marked as copied without a stored definition, so that its copy cannot be verified, is resynced', async () => {
  await using db = await freshPair();
  const migration = await prepared(
    db,
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await using held = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await held.stop();
  await db.targetClient.query('update walferry.relation set definition = null; truncate public.t');
  expect(await failureOf(db, migration)).toMatchObject({ code: 'Resync' });
  await drainWithCopies(db, migration);
  await expectEqual(db.sourceClient, db.targetClient);
});
