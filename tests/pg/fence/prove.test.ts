/** The proof that no one writes any more: whom it waits for, whom it names, and what makes it refuse. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { recordedWork } from '../../support/control.ts';
import { failure } from '../schema/schema-fidelity.ts';
import { until } from '../../support/until.ts';
import { fenced, REFUSED, stateOf } from './fenced.ts';

const SCHEMA = /* sql */ `
  create table a (id int primary key, v int default 0);
  create table b (id int primary key);
  insert into a select g, 0 from generate_series(1, 20) g`;

test('a session idle in a writing transaction is waited for, and named with user, application_name and since when it stays', async () => {
  await using f = await fenced(SCHEMA);
  const app = await f.app();
  await app.query(/* sql */ `set application_name = 'shop'; begin; insert into a values (100)`);
  const { rows } = await app.query<{ pid: number; user: string }>(
    /* sql */ `select pg_backend_pid() as pid, current_user as user`,
  );
  const { pid, user } = rows[0] ?? {};
  // Installed around it: CREATE TRIGGER does not wait for the writer, and b gets its trigger at once.
  const first = await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(first.waiting).toEqual(['public.a']);
  await app.query('commit');
  await f.arm();
  await f.fence.open(f.source, f.migration, (await gateOf(f)) ?? '');
  await app.query(/* sql */ `begin; insert into a values (101)`);
  await f.fence.arm(f.source, f.migration, { cutover: randomUUID(), milliseconds: 60_000 });
  const { message, details } = await failure(f.prove({ withinMs: 300 }), 'WriterRemains');
  expect(message).toMatch(
    new RegExp(`pid ${pid} \\(user ${user}, application_name "shop", since \\d{4}-\\d\\d-\\d\\dT`),
  );
  expect(details.pids).toEqual([pid]);
  const { end } = await f.proving();
  const { rows: seen } = await app.query(/* sql */ `select 1 as one`);
  expect(seen).toEqual([{ one: 1 }]);
  await app.query('commit');
  expect(await end).toMatchObject({ holders: 1, ended: 0 });
});

const gateOf = async (f: Awaited<ReturnType<typeof fenced>>) =>
  (await f.fence.gate(f.source, f.migration))?.cutover;

/** Installed and open, and armed by the test when its writers are in place. */
async function ready(ddl = SCHEMA, input: Record<string, unknown> = {}) {
  const f = await fenced(ddl, input);
  await until('the fence', async () => {
    const { waiting } = await f.fence.install(f.source, f.migration, f.input, recordedWork());
    return waiting.length === 0;
  });
  const arm = () =>
    f.fence.arm(f.source, f.migration, { cutover: randomUUID(), milliseconds: 120_000 });
  return { ...f, arm };
}

test('sessions are ended on request; a prepared transaction never is, and is named by its id', async () => {
  await using f = await ready();
  const [app, other] = [await f.app(), await f.app()];
  await app.query(/* sql */ `begin; update a set v = 1 where id = 1`);
  const gid = `fence-${randomUUID()}`;
  await other.query(/* sql */ `begin; update a set v = 1 where id = 2`);
  await other.query(/* sql */ `prepare transaction '${gid}'`);
  await f.arm();
  const { message } = await failure(
    f.prove({ withinMs: 1_500, endSessions: true }),
    'WriterRemains',
  );
  expect(message).toContain(`prepared transaction "${gid}"`);
  expect(message).not.toContain('pid');
  await expect(app.query('select 1')).rejects.toThrow();
  expect(await stateOf(other, `commit prepared '${gid}'`)).toBe('done');
  expect(await f.prove()).toMatchObject({ holders: 0 });
});

test('a queue of writers behind a lock is refused one by one, and those that wait for a row are waited for', async () => {
  await using f = await ready();
  const [holder, blocker] = [await f.app(), await f.app()];
  await holder.query(/* sql */ `begin; update a set v = 1 where id = 1`);
  await blocker.query(/* sql */ `begin; lock table b in access exclusive mode`);
  const rowWaiters = await Promise.all([f.app(), f.app()]);
  const tableWaiters = await Promise.all([f.app(), f.app(), f.app()]);
  const onRow = rowWaiters.map((one) =>
    stateOf(one, /* sql */ `update a set v = v + 1 where id = 1`),
  );
  const onTable = tableWaiters.map((one, at) =>
    stateOf(one, /* sql */ `insert into b values (${at})`),
  );
  await until('all to wait', async () => {
    const { rows } = await f.source.query<{ waiting: number }>(
      /* sql */ `select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows[0]?.waiting === 5;
  });
  await f.arm();
  const { end } = await f.proving();
  await holder.query('commit');
  // These had passed the open trigger: their changes belong before the mark.
  expect(await Promise.all(onRow)).toEqual(['done', 'done']);
  await blocker.query('commit');
  expect(await Promise.all(onTable)).toEqual([REFUSED, REFUSED, REFUSED]);
  expect((await end).holders).toBe(4);
  const { rows } = await f.source.query(/* sql */ `select count(*)::int as n from public.b`);
  expect(rows).toEqual([{ n: 0 }]);
});

test('readers, VACUUM and index builds are not waited for', async () => {
  await using f = await ready();
  const [reader, sharer] = [await f.app(), await f.app()];
  await reader.query(/* sql */ `begin; select * from a for key share`);
  await sharer.query(
    /* sql */ `begin; lock table a in share update exclusive mode; lock table b in share mode`,
  );
  await f.arm();
  expect(await f.prove({ withinMs: 1_000 })).toMatchObject({ holders: 0 });
});

test('a table that was created after the installation makes the proof fail by name, and is fenced by installing again', async () => {
  await using f = await ready();
  const app = await f.app();
  await app.query(/* sql */ `create table late (id int); alter table a disable trigger user`);
  await f.arm();
  expect(await stateOf(app, /* sql */ `insert into late values (1)`)).toBe('done');
  const { message } = await failure(f.prove(), 'FenceRefused');
  expect(message).toContain('public.a, public.late');
  const again = await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(again).toMatchObject({ tables: 3, waiting: [] });
  expect(await f.prove()).toMatchObject({ holders: 0 });
  // It was created armed: the gate's function is shared.
  for (const table of ['late', 'a']) {
    expect(await stateOf(app, `delete from ${table}`), table).toBe(REFUSED);
  }
});

test.each([
  { how: 'creates and fills', sql: `create table fresh as select 1 as id` },
  {
    how: 'attaches',
    before: `create table root (id int) partition by list (id); create schema away; create table away.part (id int)`,
    sql: `alter table root attach partition away.part for values in (1)`,
  },
  {
    how: 'moves here',
    before: `create schema away; create table away.part (id int)`,
    sql: `alter table away.part set schema public`,
  },
  {
    how: 'renames into the selection',
    before: `create table hidden (id int)`,
    sql: `alter table hidden rename to shown`,
  },
])(
  'a transaction that $how a table and has not committed is waited for: its rows would be written past the fence',
  async ({ before, sql }) => {
    await using f = await ready(before === undefined ? SCHEMA : `${SCHEMA};${before}`, {
      tables: { exclude: ['public.hidden', 'away.*'] },
    });
    const app = await f.app();
    await app.query(`begin; ${sql}`);
    await f.arm();
    const { message } = await failure(f.prove({ withinMs: 300 }), 'WriterRemains');
    expect(message).toContain('creates, attaches, renames or moves a table');
    const { end } = await f.proving();
    await app.query('rollback');
    expect(await end).toMatchObject({ holders: 0 });
  },
);

test('inheritance: every ancestor is fenced, and the unselected children that this also stops are named', async () => {
  await using f = await ready(
    /* sql */ `create table grand (id int); create table par () inherits (grand); create table chosen () inherits (par); create table cousin () inherits (grand); create table far (id int);
      insert into chosen values (1)`,
    { tables: { include: ['public.chosen'] } },
  );
  const { also, tables } = await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(tables).toBe(3);
  expect(also).toEqual(['public.cousin', 'public.par']);
  await f.arm();
  const app = await f.app();
  for (const table of ['grand', 'par', 'chosen']) {
    expect(await stateOf(app, `update ${table} set id = 2`), table).toBe(REFUSED);
  }
  expect(await stateOf(app, /* sql */ `insert into cousin values (1)`)).toBe('done');
  expect(await stateOf(app, /* sql */ `insert into far values (1)`)).toBe('done');
});

test('a session in replica role is bound where walferry owns the table', async () => {
  await using f = await ready();
  const app = await f.app();
  await app.query(/* sql */ `set session_replication_role = replica`);
  await f.arm();
  expect(await stateOf(app, /* sql */ `insert into a values (100)`)).toBe(REFUSED);
});

test('DDL that rewrites or truncates is waited for, and TRUNCATE is refused afterwards', async () => {
  await using f = await ready();
  const app = await f.app();
  await app.query(/* sql */ `begin; alter table a alter column v type bigint`);
  await f.arm();
  await failure(f.prove({ withinMs: 200 }), 'WriterRemains');
  const { end } = await f.proving();
  await app.query('commit');
  expect(await end).toMatchObject({ holders: 1 });
  expect(await stateOf(app, /* sql */ `truncate a, b`)).toBe(REFUSED);
});

test('while VACUUM holds a table the installation does not wait: writers pass, and the table is installed later', async () => {
  await using f = await fenced(SCHEMA);
  const app = await f.app();
  // VACUUM's lock, kept for as long as the test needs it.
  await app.query(/* sql */ `begin; lock table a in share update exclusive mode`);
  const writer = await f.app();
  const began = performance.now();
  const report = await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(report).toMatchObject({ tables: 1, waiting: ['public.a'], always: true });
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(await stateOf(writer, /* sql */ `insert into a values (100)`)).toBe('done');
  await failure(
    f.fence.prove(f.source, f.migration, recordedWork(), { withinMs: 100, endSessions: false }),
    'FenceRefused',
  );
  await app.query('commit');
  const again = await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(again).toMatchObject({ tables: 2, waiting: [] });
});

test('a real VACUUM of a large table does not delay the installation, nor the installation the writers', async () => {
  await using f =
    await fenced(/* sql */ `create table big (id int, pad text) with (autovacuum_enabled = off);
      insert into big select g, repeat('x', 200) from generate_series(1, 60000) g; delete from big where id % 2 = 0`);
  const cleaner = await f.app();
  await cleaner.query(/* sql */ `set vacuum_cost_delay = 20; set vacuum_cost_limit = 20`);
  const pid = (await cleaner.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
  const vacuum = stateOf(cleaner, 'vacuum big');
  await until('VACUUM to hold the table', async () => {
    const { rowCount } = await f.source.query(
      /* sql */ `select from pg_locks where pid = $1 and mode = 'ShareUpdateExclusiveLock' and granted`,
      [pid],
    );
    return (rowCount ?? 0) > 0;
  });
  const { waiting } = await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(waiting).toEqual(['public.big']);
  expect(await stateOf(await f.app(), /* sql */ `insert into big values (1)`)).toBe('done');
  await f.source.query('select pg_cancel_backend($1)', [pid]);
  expect(await vacuum).toBe('57014');
  await f.arm();
  expect(await stateOf(await f.app(), /* sql */ `insert into big values (1)`)).toBe(REFUSED);
});

test('DDL since the installation: an attached partition and a table that got a selected name make the proof fail by name, renamed tables stay bound', async () => {
  await using f = await ready(
    /* sql */ `create table a (id int primary key); create table away (id int primary key);
      create table parted (id int, r int) partition by list (r); create table parted_0 partition of parted for values in (0);
      create table outside (id int, r int); insert into outside values (1, 1)`,
    { tables: { include: ['public.a', 'public.named', 'public.parted*'] } },
  );
  const app = await f.app();
  await app.query(/* sql */ `alter table away rename to named; alter table parted attach partition outside for values in (1);
    alter table outside rename to parted_1`);
  await f.arm();
  const { message } = await failure(f.prove(), 'FenceRefused');
  expect(message).toContain('public.named, public.parted_1');
  await f.fence.install(f.source, f.migration, f.input, recordedWork());
  expect(await f.prove()).toMatchObject({ holders: 0 });
  await app.query(/* sql */ `alter table a rename to b`);
  expect(await stateOf(app, /* sql */ `insert into b values (1)`)).toBe(REFUSED);
  expect(await stateOf(app, /* sql */ `delete from parted_1`)).toBe(REFUSED);
});
