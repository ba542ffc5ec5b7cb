/** The target is closed from its first row until the release: for everybody but walferry, and without slowing walferry. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { steps } from '../../../activities/steps.ts';
import { closeTarget, openTarget } from '../../../postgres/fence/target-fence.ts';
import { removeFenceFrom } from '../../../postgres/fence/remove-fence.ts';
import { inTransaction } from '../../../postgres/connection/in-transaction.ts';
import { definitionLines } from '../../support/definition-lines.ts';
import { readEnabledOnPlanned } from '../../../postgres/schema/enabled-trigger.ts';
import { connectTarget } from '../../../postgres/session/open.ts';
import { recordedWork } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { loginOn } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';
import { REFUSED, stateOf } from './fenced.ts';

const SCHEMA = /* sql */ `
  create table person (id int primary key, name text);
  create table parted (id int, r int, primary key (id, r)) partition by list (r);
  create table parted_0 partition of parted for values in (0);
  create function noted() returns trigger language plpgsql as 'begin return null; end';
  create trigger of_the_operator after insert on person for each row execute function noted();
  alter table person enable always trigger of_the_operator;
  insert into person select g, 'x' from generate_series(1, 50) g;
  insert into parted select g, 0 from generate_series(1, 50) g`;

/** Up to a consistent target, with the activities that close it. */
async function copied(db: FreshPair, target = db.target): Promise<Steps> {
  const run = new Steps(db.source, target, { schema: { owners: false, grants: false } });
  const step = { migration: run.migration, input: run.input };
  await steps.copySchema(step, recordedWork());
  await run.copy();
  return run;
}

const WRITES = [
  /* sql */ `insert into person values (1000, 'early')`,
  /* sql */ `update person set name = 'early'`,
  /* sql */ `delete from parted`,
  /* sql */ `insert into parted_0 values (1000, 0)`,
  /* sql */ `truncate person, parted`,
];

test.each(['a superuser', 'a role without replica role'])(
  'rows are copied and applied by %s past the closed fence, and an application is refused until the release, and again when it is undone',
  async (who) => {
    await using db = await freshPair();
    await db.sourceClient.query(SCHEMA);
    await using login = await loginOn(db, 'target');
    await db.targetClient.query(
      `grant create on database ${db.target} to ${login.role}; grant create on schema public to ${login.role}`,
    );
    const run = await copied(db, who === 'a superuser' ? db.target : login.service);
    const { migration, input } = run;
    const early = await connectTo(db.target);
    for (const sql of WRITES) expect(await stateOf(early, sql), sql).toBe(REFUSED);
    expect(await stateOf(early, /* sql */ `select * from person`)).toBe('done');
    await db.sourceClient.query(
      /* sql */ `update person set name = 'y'; delete from parted where id < 10; truncate parted; insert into parted values (7, 0)`,
    );
    await run.indexes();
    await run.drain();
    const { rows } = await db.targetClient.query(
      /* sql */ `select (select count(*)::int from person where name = 'y') as persons, (select count(*)::int from parted) as parted`,
    );
    expect(rows).toEqual([{ persons: 50, parted: 1 }]);
    await using target = await connectTarget(migration, 'cutover');
    // Our own trigger is neither a user's nor a difference.
    expect(await readEnabledOnPlanned(target, migration, ['O', 'A', 'R'])).toEqual([]);
    await steps.buildConstraints({ migration, input }, recordedWork());
    expect((await definitionLines(migration, input)).filter((one) => /fence/.test(one))).toEqual(
      [],
    );
    await steps.enableTriggers({ migration }, recordedWork());
    expect(await stateOf(early, /* sql */ `insert into parted values (1000, 0)`)).toBe('done');
    await steps.disableTriggers({ migration }, recordedWork());
    expect(await stateOf(early, /* sql */ `insert into parted values (1001, 0)`)).toBe(REFUSED);
    await steps.enableTriggers({ migration }, recordedWork());
    await steps.dropSlot({ migration, input }, recordedWork());
    await steps.dropControl({ migration }, recordedWork());
    expect(await stateOf(early, /* sql */ `insert into parted values (1002, 0)`)).toBe('done');
    expect(await remains(db.targetClient)).toEqual([]);
    await early.end();
  },
);

async function remains(client: pg.Client): Promise<unknown[]> {
  const { rows } = await client.query<object>(/* sql */ `
    select tgname::text as name from pg_trigger where tgname like '~walferry%'
    union all select nspname from pg_namespace where nspname like 'walferry%'`);
  return rows;
}

test('a release that is rolled back leaves the target closed, and its commit opens all tables at once', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  const { migration } = await copied(db);
  await using target = await connectTarget(migration, 'cutover');
  const early = await connectTo(db.target);
  await target.query('begin');
  await openTarget(target, migration);
  await target.query('rollback');
  expect(await stateOf(early, WRITES[0] ?? '')).toBe(REFUSED);
  await inTransaction(target, () => openTarget(target, migration));
  for (const sql of WRITES) expect(await stateOf(early, sql), sql).toBe('done');
  // A late attempt that installs again does not close what was released.
  await db.targetClient.query(
    /* sql */ `create table public.parted_1 partition of parted for values in (1)`,
  );
  expect(await closeTarget(target, migration, recordedWork())).toEqual({ open: [] });
  expect(await stateOf(early, /* sql */ `insert into parted_1 values (1, 1)`)).toBe('done');
  await early.end();
});

test('tables that the operator created are closed with all of their partitions; those without the right are reported', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  await db.targetClient.query(
    `${SCHEMA}; truncate person, parted; create table public.parted_9 partition of parted for values in (9)`,
  );
  await using login = await loginOn(db, 'target', 'superuser');
  const run = await copied(db, login.service);
  const early = await connectTo(db.target);
  for (const sql of [...WRITES, /* sql */ `insert into parted_9 values (1, 9)`]) {
    expect(await stateOf(early, sql), sql).toBe(REFUSED);
  }
  await using own = await connectTarget(run.migration, 'cutover');
  await own.query(
    /* sql */ `create table public.parted_8 partition of public.parted for values in (8)`,
  );
  await own.query(
    `alter table public.parted_8 owner to ${pg.escapeIdentifier(db.targetClient.user ?? '')}; alter role ${login.role} nosuperuser`,
  );
  try {
    expect(await closeTarget(own, run.migration, recordedWork())).toEqual({
      open: ['public.parted_8'],
    });
  } finally {
    await db.targetClient.query(`alter role ${login.role} superuser`);
  }
  expect(await removeFenceFrom(own, run.migration, recordedWork())).toEqual({ left: [] });
  await early.end();
});

test('a migration that ends before its rows leaves nothing of the fence, on created and on given tables', async () => {
  for (const given of [false, true]) {
    await using db = await freshPair();
    await db.sourceClient.query(/* sql */ `create table t (id int primary key)`);
    if (given) await db.targetClient.query(/* sql */ `create table t (id int primary key)`);
    const run = new Steps(db.source, db.target);
    const step = { migration: run.migration, input: run.input };
    await steps.copySchema(step, recordedWork());
    await using early = await connectTo(db.target);
    expect(await stateOf(early, /* sql */ `insert into t values (1)`)).toBe(REFUSED);
    await steps.undoSchema(step, recordedWork());
    expect(await remains(db.targetClient)).toEqual([]);
    const there = await stateOf(early, /* sql */ `insert into t values (1)`);
    expect(there).toBe(given ? 'done' : '42P01');
  }
});
