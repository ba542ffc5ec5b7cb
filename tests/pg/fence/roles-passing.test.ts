/** What revoked rights do not stop: each way past the fence `roles` is named, and is one. */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { sourceServer, targetServer, type Places } from '../../support/database.ts';
import { fenced, stateOf, type Fenced } from './fenced.ts';

const SCHEMA = /* sql */ `
  create table a (id int primary key, v int default 0);
  create table parent (id int primary key);
  create table other (id int primary key)`;
const INPUT = { tables: { include: ['public.*'], exclude: ['public.parent', 'public.other'] } };
const DENIED = '42501';

/** A fence whose tables belong to a role that may not log in, so that no owner is a login; `app` and `clerk` may. */
async function withRoles(places: Places = {}) {
  const f = await fenced(SCHEMA, INPUT, 'roles', places);
  const suffix = randomBytes(4).toString('hex');
  const [owner, app, clerk, group] = [
    ...([`owner_${suffix}`, `app_${suffix}`] as const),
    ...([`clerk_${suffix}`, `group_${suffix}`] as const),
  ];
  const admin = await f.app();
  await admin.query(`
    create role ${owner}; create role ${group}; create role ${app} login; create role ${clerk} login;
    grant all on schema public to ${owner}, ${app}, ${clerk};
    alter table a owner to ${owner}; alter table parent owner to ${owner}; alter table other owner to ${owner};
    grant select, insert, update, delete on a to ${app}, ${clerk}; grant select, delete on parent to ${app}`);
  return {
    ...{ f, admin, owner, app, clerk, group },
    [Symbol.asyncDispose]: async () => {
      for (const role of [app, clerk, group, owner]) {
        await admin.query(`drop owned by ${role} cascade; drop role ${role}`);
      }
      await f[Symbol.asyncDispose]();
    },
  };
}

/** What passes, by the name of the way. */
async function passing(f: Fenced): Promise<ReadonlyMap<string, string>> {
  const { passes } = await f.fence.rights(f.source, f.input);
  expect(passes.filter(({ refuses }) => refuses)).toEqual([]);
  return new Map(passes.map(({ name, what }) => [name, what]));
}

const WAYS = ['write-all', 'views', 'cascades', 'definer-functions'];

test('nothing is named for a table that only rights lead to', async () => {
  await using who = await withRoles();
  const { f, admin, owner, app } = who;
  // Without effect on the table: no right of others, a function for its owner alone, a foreign key that only refuses.
  await admin.query(`
    set role ${owner};
    create view own as select * from a; grant select on own to ${app};
    create function mine() returns int language sql security definer return 1; revoke execute on function mine() from public;
    create function plain() returns int language sql return 1;
    alter table a add foreign key (v) references parent (id);
    reset role`);
  const ways = await passing(f);
  expect(WAYS.filter((way) => ways.has(way))).toEqual([]);
  expect(ways.get('owners') ?? '').not.toContain(app);
});

test('views and rules whose owner keeps writing are named when somebody else may write to them, and no others', async () => {
  await using who = await withRoles();
  const { f, admin, owner, app, clerk } = who;
  await admin.query(`
    set role ${owner};
    create view plain with (check_option = local) as select * from a; grant insert on plain to ${app};
    create view "by column" as select * from a; grant update (v) on "by column" to ${app};
    create view summed as select v, count(*) as n from a group by v; grant all on summed to ${app};
    create view asking with (security_invoker) as select * from a; grant all on asking to ${app};
    create rule also as on insert to other do also insert into a values (new.id); grant insert on other to ${app};
    create view ruled as select count(*) as n from a; grant insert on ruled to ${app};
    create rule instead as on insert to ruled do instead insert into a values (new.n);
    create function definer() returns trigger language plpgsql security definer as 'begin insert into a values (new.n); return new; end';
    create function invoker() returns trigger language plpgsql as 'begin insert into a values (new.n); return new; end';
    create view by_definer as select count(*) as n from a; grant insert on by_definer to ${app};
    create trigger t instead of insert on by_definer for each row execute function definer();
    create view by_invoker as select count(*) as n from a; grant insert on by_invoker to ${app};
    create trigger t instead of insert on by_invoker for each row execute function invoker();
    grant insert on plain to ${clerk};
    reset role;
    set role ${clerk};
    create view above as select * from plain; grant insert on above to ${app};
    create view revoked as select * from a; grant insert on revoked to ${app};
    reset role`);
  expect((await passing(f)).get('views')).toBe(
    'views and rules write to the tables with the rights of their owners: public.above, public.by column, public.by_definer, public.other, public.plain, public.ruled',
  );
  // While DDL has a view locked no one waits for it: it is named without asking what it is.
  await using ddl = await lockedBy(f, 'summed');
  expect((await passing(f)).get('views')).toContain('public.summed');
  await ddl.end();

  await f.arm();
  await f.prove();
  const writer = await f.app(app);
  const state = (sql: string) => stateOf(writer, sql);
  expect(await state('insert into a values (1)')).toBe(DENIED);
  expect(await state('insert into plain values (1)')).toBe('done');
  expect(await state('update "by column" set v = 2')).toBe('done');
  expect(await state('insert into other values (2)')).toBe('done');
  expect(await state('insert into ruled values (3)')).toBe('done');
  expect(await state('insert into by_definer values (4)')).toBe('done');
  expect(await state('insert into above values (5)')).toBe('done');
  for (const view of ['asking', 'by_invoker', 'revoked']) {
    expect(await state(`insert into ${view} values (9)`), view).toBe(DENIED);
  }
});

/** Of another version: it tells membership, inheritance and SET ROLE apart. */
const SERVERS = [
  ['the source', sourceServer],
  ['the target', targetServer],
] as const;

test.each(SERVERS)(
  'members of pg_write_all_data are named, also through other roles and without inheritance, on the server of %s',
  async (_, server) => {
    await using who = await withRoles({ source: server() });
    const { f, admin, app, clerk, group } = who;
    await admin.query(`
    grant pg_write_all_data to ${group}; grant ${group} to ${clerk}; alter role ${clerk} noinherit`);
    const named = (await passing(f)).get('write-all');
    expect(named).toContain(clerk);
    expect(named).not.toContain(app);
    await f.arm();
    await f.prove();
    const writer = await f.app(clerk);
    expect(await stateOf(writer, `set role ${group}; insert into a values (1)`)).toBe('done');
    expect(await stateOf(await f.app(app), 'insert into a values (2)')).toBe(DENIED);
  },
);

test.each(SERVERS)(
  'a role that may only set itself to the owner is named, on the server of %s',
  async (_, server) => {
    await using who = await withRoles({ source: server() });
    const { f, admin, owner, app, clerk } = who;
    await admin.query(`alter role ${clerk} noinherit; grant ${owner} to ${clerk}`);
    if (await tellsApart(admin)) {
      await admin.query(`grant ${owner} to ${app} with inherit false, set false`);
    }
    const named = (await passing(f)).get('owners');
    expect(named).toContain(clerk);
    expect(named).not.toContain(app);
    await f.arm();
    await f.prove();
    const writer = await f.app(clerk);
    expect(await stateOf(writer, `set role ${owner}; insert into a values (1)`)).toBe('done');
  },
);

test('foreign keys that change rows with a table that does not move are named', async () => {
  await using who = await withRoles();
  const { f, admin, owner, app } = who;
  await admin.query(`
    set role ${owner};
    insert into parent values (1), (2);
    create table child (id int primary key, p int constraint gone references parent on delete cascade, q int references a on delete cascade);
    create table parts (p int constraint emptied references parent on delete set null) partition by range (p);
    create table part partition of parts default;
    insert into child values (1, 1, null); insert into parts values (1);
    reset role`);
  expect((await passing(f)).get('cascades')).toBe(
    'foreign keys change rows of the tables when others change: public.child with public.parent, public.parts with public.parent',
  );
  await f.arm();
  await f.prove();
  expect(await stateOf(await f.app(app), 'delete from parent where id = 1')).toBe('done');
  const { rows } = await admin.query<{ n: number }>(`select count(*)::int as n from child`);
  expect(rows).toEqual([{ n: 0 }]);
});

test('functions that others may call with the rights of a role that keeps writing are named', async () => {
  await using who = await withRoles();
  const { f, admin, owner, app, clerk } = who;
  await admin.query(`
    set role ${owner};
    create function put() returns void language sql security definer begin atomic insert into a values (1); end;
    set role ${clerk};
    create function revoked() returns void language sql security definer begin atomic insert into a values (2); end;
    reset role`);
  expect((await passing(f)).get('definer-functions')).toBe(
    'functions with SECURITY DEFINER may write with the rights of roles that keep writing: public.put',
  );
  await f.arm();
  await f.prove();
  const writer = await f.app(app);
  expect(await stateOf(writer, 'select put()')).toBe('done');
  expect(await stateOf(writer, 'select revoked()')).toBe(DENIED);
});

/** Whether a membership may be without inheritance and without SET ROLE. */
async function tellsApart(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ is: boolean }>(
    `select current_setting('server_version_num')::int >= 160000 as is`,
  );
  return rows[0]?.is === true;
}

/** DDL of another session that has the relation until it ends. */
async function lockedBy(f: Fenced, relation: string) {
  const session = await f.app();
  await session.query(`begin; alter view ${relation} set (security_barrier)`);
  const end = () => session.query('rollback');
  return { end, [Symbol.asyncDispose]: async () => void (await end()) };
}
