/** Errors, aborts and second attempts of the schema steps. */
import { expect, test } from 'vitest';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers, disableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { connectTarget } from '../../../postgres/session/open.ts';
import { undoSchema } from '../../../postgres/schema/undo-schema.ts';
import { addService, connectTo, freshPair, targetServer } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { observed } from '../../support/observed.ts';
import { until } from '../../support/until.ts';
import {
  buildFidelity,
  dumpLines,
  failure,
  inputOf,
  migrationOf,
  testWork,
} from './schema-fidelity.ts';

const SECRET = 'secret-value-4711';

test('an object that cannot be created is named, and nothing is left behind', async () => {
  await using db = await freshPair();
  await buildFidelity(db.sourceClient, db.targetClient);
  await db.targetClient.query(/* sql */ `
    create schema app; create function app.atomic(a int) returns int language sql return 1`);
  const before = await dumpLines(db.target);
  const error = await failure(copySchema(migrationOf(db), inputOf(db), testWork()), 'SchemaFailed');
  expect(error.message).toBe(
    'FUNCTION app.atomic(integer) could not be created on the target (SQLSTATE 42723)',
  );
  expect(await dumpLines(db.target)).toEqual(before);
  const control = await db.targetClient.query(
    /* sql */ `select from pg_namespace where nspname = 'walferry'`,
  );
  expect(control.rowCount).toBe(0);
});

test('two concurrent attempts create the schema once', async () => {
  await using db = await freshPair();
  await buildFidelity(db.sourceClient, db.targetClient);
  const migration = migrationOf(db);
  const results = await Promise.allSettled([
    copySchema(migration, inputOf(db), testWork()),
    copySchema(migration, inputOf(db), testWork()),
  ]);
  // The later attempt may end the earlier one's session; the caller retries that one.
  expect(results.some(({ status }) => status === 'fulfilled')).toBe(true);
  const report = await copySchema(migration, inputOf(db), testWork());
  const there = await db.sourceClient.query(/* sql */ `select from pg_class
    where relkind in ('r', 'p') and relnamespace in ('app'::regnamespace, '"Odd; Schema"'::regnamespace)`);
  expect(report.tables).toBe(there.rowCount);
});

test('undo drops exactly what was created, and never a table with rows', async () => {
  await using db = await freshPair();
  await buildFidelity(db.sourceClient, db.targetClient);
  await db.targetClient.query(/* sql */ `
    create schema app; create table app.other (id int); insert into app.other values (1)`);
  const before = await dumpLines(db.target);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await db.targetClient.query(/* sql */ `insert into app.zero default values`);
  const error = await failure(undoSchema(migration), 'SchemaFailed');
  expect(error.details.table).toBe('app.zero');
  await db.targetClient.query(/* sql */ `delete from app.zero`);
  // A view of someone else depends on a table of ours: it is not dropped with it.
  await db.targetClient.query(/* sql */ `create view app.theirs as select * from app.nn`);
  await failure(undoSchema(migration), 'SchemaFailed');
  await db.targetClient.query(/* sql */ `drop view app.theirs`);
  await undoSchema(migration);
  await undoSchema(migration);
  expect(await dumpLines(db.target)).toEqual(before);
  // And the next attempt starts from the beginning.
  expect((await copySchema(migration, inputOf(db), testWork())).created).toBe(true);
});

test('a schema too large for one transaction is created in several, and undone when one fails', async () => {
  await using db = await freshPair();
  await buildFidelity(db.sourceClient, db.targetClient);
  const migration = migrationOf(db);
  const before = await dumpLines(db.target);
  const several = { entriesPerTransaction: 7 };
  // Late in the archive, so that many transactions have committed when it fails.
  await db.sourceClient
    .query(/* sql */ `create schema zoo; create function zoo.z() returns int language sql return 1;
    create table zoo.t (id int default zoo.z())`);
  await db.targetClient.query(/* sql */ `create schema zoo; create table zoo.other (id int)`);
  await db.targetClient.query(/* sql */ `create view zoo.v as select 1`);
  const withZoo = await dumpLines(db.target);
  await db.sourceClient.query(/* sql */ `create view zoo.v as select 1`);
  const error = await failure(
    copySchema(migration, inputOf(db), testWork(), several),
    'SchemaFailed',
  );
  expect(error.message).toContain('VIEW zoo.v');
  expect(await dumpLines(db.target)).toEqual(withZoo);
  await db.targetClient.query(/* sql */ `drop schema zoo cascade`);
  const abort = new AbortController();
  const stopping = testWork(abort.signal);
  const reason = new Error('stop');
  const stopped = copySchema(
    migration,
    inputOf(db),
    { ...stopping, beat: ({ done }) => Number(done) > 40 && abort.abort(reason) },
    several,
  );
  await expect(stopped).rejects.toBe(reason);
  const { tables } = await copySchema(migration, inputOf(db), testWork(), several);
  const there = await db.sourceClient.query(/* sql */ `select from pg_class
    where relkind in ('r', 'p') and relnamespace in ('app'::regnamespace, 'zoo'::regnamespace, '"Odd; Schema"'::regnamespace)`);
  expect(tables).toBe(there.rowCount);
  await undoSchema(migration);
  expect(await dumpLines(db.target)).toEqual(before);
});

test('the reason is reported even if the created objects cannot be dropped', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table a (id int primary key); create table b (id int primary key); create view v as select 1`);
  await db.targetClient.query(/* sql */ `
    create view v as select 1; create function keep() returns event_trigger language plpgsql as $$ begin raise 'kept'; end $$;
    create event trigger keep_tables on ddl_command_start when tag in ('DROP TABLE') execute function keep()`);
  const migration = migrationOf(db);
  const error = await failure(
    copySchema(migration, inputOf(db), testWork(), { entriesPerTransaction: 1 }),
    'SchemaFailed',
  );
  expect(error.message).toMatch(
    /^VIEW public\.v could not be created on the target \(SQLSTATE 42P07\)/,
  );
  expect(error.message).toContain('event triggers on the target may have blocked it: keep_tables');
  await db.targetClient.query(/* sql */ `drop event trigger keep_tables`);
  await undoSchema(migration);
  const left = /* sql */ `select from pg_class where relname in ('a', 'b')`;
  expect((await db.targetClient.query(left)).rowCount).toBe(0);
});

test.each([
  ['a column', 'create table others.t (id int primary key, v app.odd)', 'column others.t.v'],
  ['a table', 'create view others.v as select null::app.odd as v', 'relation others.v'],
  [
    'a function',
    'create function others.f(app.odd) returns int language sql return 1',
    'function others.f',
  ],
])(
  'undoing the schema never drops %s that someone else built with one of our types',
  async (_, statement, named) => {
    await using db = await freshPair();
    // The in and out functions of another type serve for a type of our own.
    await db.sourceClient.query(/* sql */ `
      create schema app; create type app.odd;
      create function app.odd_in(cstring) returns app.odd language internal immutable strict as 'textin';
      create function app.odd_out(app.odd) returns cstring language internal immutable strict as 'textout';
      create type app.odd (input = app.odd_in, output = app.odd_out, like = text);
      create table app.t (id int primary key, v app.odd)`);
    const migration = migrationOf(db);
    const before = await dumpLines(db.target);
    await copySchema(migration, inputOf(db), testWork());
    await db.targetClient.query(`create schema others; ${statement}`);
    const error = await failure(undoSchema(migration), 'SchemaFailed');
    expect(error.message).toContain(`${named}, which walferry did not create, uses a type`);
    await db.targetClient.query('drop schema others cascade');
    await undoSchema(migration);
    expect(await dumpLines(db.target)).toEqual(before);
  },
);

test('rows that violate a unique constraint do not hold up the stream; they are reported by name with the query that lists them', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table person (id int primary key, mail text constraint person_mail unique, n int);
    create index person_n on person (n); create table child (id int primary key, person int references person)`);
  const migration = migrationOf(db);
  const input = inputOf(db);
  await copySchema(migration, input, testWork());
  await db.targetClient.query(/* sql */ `
    insert into person values (1, '${SECRET}', 1), (2, '${SECRET}', 2); insert into child values (1, 3)`);
  await buildIndexes(migration, input, testWork());
  const error = await failure(buildConstraints(migration, input, testWork()), 'ConstraintFailed');
  expect(error.message).toMatch(
    /CONSTRAINT person_mail on public.person could not be built on the target \(SQLSTATE 23505\): 2 rows break it; to list them, on either side: select /,
  );
  const listed = await db.targetClient.query(error.details.query ?? '');
  expect(listed.rows).toMatchObject([{ id: 1 }, { id: 2 }]);
  expect(error.details).toMatchObject({
    table: 'public.person',
    constraint: 'person_mail',
    sqlstate: '23505',
  });
  expect(JSON.stringify([error.message, error.details, String(error.cause)])).not.toContain(SECRET);
  await db.targetClient.query(/* sql */ `update person set mail = 'other' where id = 2`);

  const missing = await failure(buildConstraints(migration, input, testWork()), 'ConstraintFailed');
  expect(missing.details).toMatchObject({
    table: 'public.child',
    constraint: 'child_person_fkey',
    sqlstate: '23503',
    rows: '1',
  });
  expect((await db.targetClient.query(missing.details.query ?? '')).rows).toEqual([
    { id: 1, person: 3 },
  ]);
  const notValid = /* sql */ `select convalidated from pg_constraint where conname = 'child_person_fkey'`;
  expect((await db.targetClient.query(notValid)).rows).toEqual([{ convalidated: false }]);
  await db.targetClient.query(/* sql */ `update child set person = 1`);
  await buildConstraints(migration, input, testWork());
  expect((await db.targetClient.query(notValid)).rows).toEqual([{ convalidated: true }]);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('an index that was built by hand is accepted if it is the same, and refused if not', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table t (id int primary key, n int, m int); create index t_n on t (n); create index t_m on t (m);
    alter table t cluster on t_n`);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await db.targetClient.query(/* sql */ `
    alter table t add primary key (id); create index t_n on t (n); create index t_m on t (n)`);
  const error = await failure(buildIndexes(migration, inputOf(db), testWork()), 'SchemaFailed');
  expect(error.message).toContain('INDEX public.t_m');
  await db.targetClient.query(/* sql */ `drop index t_m`);
  await buildIndexes(migration, inputOf(db), testWork());
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('an abort cancels the build on the server at once, and a later attempt builds it again', async () => {
  await using db = await freshPair();
  // An index whose function sleeps: equally slow on every machine.
  await db.sourceClient.query(/* sql */ `
    create function slow(int) returns int language plpgsql immutable as 'begin perform pg_sleep(0.05); return $1; end';
    create table t (id int); create index t_slow on t (slow(id))`);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await db.targetClient.query(/* sql */ `insert into t select generate_series(1, 2000)`);
  const abort = new AbortController();
  const work = testWork(abort.signal);
  const building = observed(buildIndexes(migration, inputOf(db), work));
  await until('a heartbeat of the build', () =>
    work.beats.some(({ now }) => now === 'INDEX public.t_slow'),
  );
  const reason = new Error('stop it');
  abort.abort(reason);
  await expect(building).rejects.toBe(reason);
  const active = await db.targetClient.query(/* sql */ `select from pg_stat_activity
                where datname = current_database() and application_name = 'walferry index' and state = 'active'`);
  expect(active.rowCount).toBe(0);
  await db.targetClient.query(/* sql */ `truncate t`);
  expect(await buildIndexes(migration, inputOf(db), testWork())).toEqual({
    ...{ indexes: 1, constraints: 0, built: 1, total: 1 },
  });
});

test('indexes are built several at a time, and heartbeats name them with how many are done', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create function slow(int) returns int language plpgsql immutable as 'begin perform pg_sleep(0.05); return $1; end';
    create table t (id int); create index t_slow on t (slow(id));
    create table u (id int); create index u_slow on u (slow(id)); create index u_quick on u (id)`);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await db.targetClient.query(/* sql */ `insert into t select generate_series(1, 2000);
    insert into u select generate_series(1, 2000)`);
  const abort = new AbortController();
  const work = testWork(abort.signal);
  const building = observed(buildIndexes(migration, inputOf(db), work));
  const beat = await until('a heartbeat that names both, after the quick one', () =>
    work.beats.find(
      ({ now, done }) =>
        done === 1 && ['t_slow', 'u_slow'].every((name) => String(now).includes(name)),
    ),
  );
  expect(beat).toMatchObject({ step: 'building indexes', total: 3 });
  abort.abort(new Error('seen'));
  await expect(building).rejects.toThrow('seen');
});

test('a build whose worker is gone does not hold up the next attempt', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(
    /* sql */ `create table t (id int primary key, n int); create index t_n on t (n)`,
  );
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  // The hanging worker: its session has the entry's row and the table locked.
  await using stopped = await connectTarget(migration, 'index');
  await stopped.join();
  await stopped.query(/* sql */ `begin;
    update walferry.schema_entry set done_at = now() where name = 't_n'; create index t_n on public.t (n)`);
  await buildIndexes(migration, inputOf(db), testWork());
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('foreign keys wait for the applying transaction instead of failing', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(
    /* sql */ `create table p (id int primary key); create table c (p int references p)`,
  );
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await buildIndexes(migration, inputOf(db), testWork());
  await using applying = await connectTo(db.target);
  await applying.query(/* sql */ `begin; insert into p values (1)`);
  const building = buildConstraints(migration, inputOf(db), testWork());
  const blocked = (): Promise<string | undefined> =>
    db.targetClient
      .query<{ start: string }>(
        /* sql */ `select query_start::text as start from pg_stat_activity where datname = current_database()
          and application_name = 'walferry index' and wait_event_type = 'Lock'`,
      )
      .then(({ rows }) => rows[0]?.start);
  const first = await until('the builder to wait for the lock', blocked);
  // It waits briefly, so that no session queues behind it for long, and retries.
  await until('the builder to wait again', async () => {
    const start = await blocked();
    return start !== undefined && start !== first;
  });
  await applying.query('commit');
  expect(await building).toMatchObject({ constraints: 1, built: 1, total: 1 });
});

/** A service for the target as a role of the cluster (created once) that may create schemas there and is no superuser. */
async function targetAs(db: FreshPair, name: string): Promise<string> {
  await db.targetClient.query(/* sql */ `
    do $$ begin create role fidelity_${name} login password '${name}'; exception when duplicate_object or unique_violation then null; end $$;
    grant create on database ${db.target} to fidelity_${name}`);
  const service = `${name}_${db.target}`;
  const { host, port } = targetServer().connection(db.target);
  addService(service, {
    host: String(host),
    port: String(port),
    dbname: db.target,
    user: `fidelity_${name}`,
    password: name,
  });
  return service;
}

test('a role without rights gets the name of the object that it may not create', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `create schema s; create table s.t (id int)`);
  const target = await targetAs(db, 'weak');
  const pair = { source: db.source, target };
  const before = await dumpLines(db.target);
  const error = await failure(copySchema(migrationOf(pair), inputOf(pair), testWork()), 'Denied');
  expect(error.message).toContain('SCHEMA s could not be created');
  expect(await dumpLines(db.target)).toEqual(before);
});

test('without the right to replica role every trigger, and row security, wait for the cutover', async () => {
  await using db = await freshPair();
  const target = await targetAs(db, 'plain');
  await db.targetClient.query(/* sql */ `grant create on schema public to fidelity_plain`);
  await db.sourceClient.query(/* sql */ `
    create function f() returns trigger language plpgsql as 'begin return new; end';
    create table t (id int primary key); create trigger plain before insert on t for each row execute function f();
    create trigger off before insert on t for each row execute function f(); alter table t disable trigger off;
    alter table t enable row level security; alter table t force row level security`);
  const pair = { source: db.source, target };
  const migration = migrationOf(pair);
  const input = inputOf(pair, { schema: { owners: false, grants: false } });
  await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  const state = /* sql */ `
    select tgname, tgenabled, relrowsecurity from pg_trigger join pg_class c on c.oid = tgrelid
     where relname = 't' order by tgname`;
  expect((await db.targetClient.query(state)).rows).toEqual([
    { tgname: 'off', tgenabled: 'D', relrowsecurity: false },
    { tgname: 'plain', tgenabled: 'D', relrowsecurity: false },
  ]);
  expect(await enableTriggers(migration)).toBe(1);
  const awake = [
    { tgname: 'off', tgenabled: 'D', relrowsecurity: true },
    { tgname: 'plain', tgenabled: 'O', relrowsecurity: true },
  ];
  expect((await db.targetClient.query(state)).rows).toEqual(awake);
  // A cutover that was undone at its last step, and the next one.
  expect(await disableTriggers(migration)).toBe(1);
  expect((await db.targetClient.query(state)).rows).toEqual(
    awake.map(({ tgname }) => ({ tgname, tgenabled: 'D', relrowsecurity: false })),
  );
  expect(await enableTriggers(migration)).toBe(1);
  expect((await db.targetClient.query(state)).rows).toEqual(awake);
  await db.targetClient.query(/* sql */ `drop owned by fidelity_plain`);
});

test('a source that does not exist is unreachable, and the message contains no connection string', async () => {
  await using db = await freshPair();
  addService(`gone_${db.source}`, { host: '127.0.0.1', port: '1', dbname: 'x', user: 'y' });
  const pair = { source: `gone_${db.source}`, target: db.target };
  await failure(copySchema(migrationOf(pair), inputOf(pair), testWork()), 'Unreachable');
});
