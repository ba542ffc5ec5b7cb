/** The schema is tried on the target and rolled back: what the target refuses is reported with a fix before a row moves. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { runLateGrants } from '../../../postgres/schema/late-grant.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { codes, findingsOf, follow, loginOn, only } from '../../support/preflight.ts';
import { serverOf } from '../../support/versions.ts';
import { dumpLines, failure, inputOf, migrationOf, testWork } from '../schema/schema-fidelity.ts';

const TABLE = 'create table t (id int primary key)';

/** Roles with names that no other test uses, on both sides, and a login on the target with the rights that docs/how-to/prepare.md lists. */
async function mover(db: FreshPair) {
  const id = randomBytes(4).toString('hex');
  const [owner, app] = [`owner_${id}`, `app_${id}`];
  const login = await loginOn(db, 'target');
  const roles = `create role ${owner}; create role ${app};`;
  await db.sourceClient.query(roles);
  await db.targetClient.query(`${roles} grant ${owner}, ${app} to ${login.role};
    grant create on database ${db.target} to ${login.role};
    grant set on parameter session_replication_role to ${login.role}`);
  return {
    ...{ owner, app, login },
    [Symbol.asyncDispose]: async () => {
      for (const client of [db.sourceClient, db.targetClient]) {
        await client.query(`drop owned by ${owner}, ${app} cascade; drop role ${owner}, ${app}`);
      }
      await login[Symbol.asyncDispose]();
    },
  };
}

/** Every step of the schema as the role of that service. */
async function carry(db: FreshPair, service: string, more: Record<string, unknown> = {}) {
  const migration = { ...migrationOf(db), target: service };
  const input = inputOf({ source: db.source, target: service }, more);
  const report = await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  return report;
}

it('an event trigger of the source, which is not tried, refuses nothing that depends on it', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `${TABLE};
    create function on_ddl() returns event_trigger language plpgsql as 'begin end';
    create event trigger ${db.source}_ddl on ddl_command_end execute function on_ddl();
    comment on event trigger ${db.source}_ddl is 'notes what is made'`);
  expect(codes(await findingsOf(db))).toEqual(['event-triggers']);
});

describe('owners', () => {
  it('whose rights our role has only with SET ROLE are named, and the advice fixes it', async () => {
    await using db = await freshPair();
    await using roles = await mover(db);
    const { owner, app, login } = roles;
    await db.sourceClient.query(/* sql */ `
      create schema shop authorization ${owner}; create table shop.t (id int primary key); alter table shop.t owner to ${app};
      create type shop.kind as enum ('a'); alter type shop.kind owner to ${owner}`);
    await db.targetClient.query(`alter role ${login.role} noinherit`);
    const findings = await findingsOf(db, { target: login.service });
    const found = only(findings, 'role-not-member');
    expect(codes(findings.filter(({ level }) => level === 'error'))).toEqual(['role-not-member']);
    expect(found.message).toContain(`${app}, ${owner}`);
    await follow(db.targetClient, found);
    expect(codes(await findingsOf(db, { target: login.service }))).toEqual([]);
  });

  it('without the right to write their own tables, or to see what is in their schema, have it until the source is disconnected', async () => {
    await using db = await freshPair();
    await using roles = await mover(db);
    const { owner, app, login } = roles;
    await db.sourceClient.query(`
      create schema shop; create table shop.audit (id serial primary key, v text, w text); alter table shop.audit owner to ${owner};
      create statistics shop.st on v, w from shop.audit; alter statistics shop.st owner to ${app};
      create index audit_v on shop.audit (v); grant select on shop.audit to ${app};
      create materialized view shop.seen as select count(*) from shop.audit; alter materialized view shop.seen owner to ${app};
      grant insert on shop.audit to ${app}; grant select (id) on shop.audit to ${owner};
      revoke insert, update, delete, truncate, select on shop.audit from ${owner};
      grant select (v) on shop.audit to ${owner};
      alter schema shop owner to ${owner}; revoke all on schema shop from ${owner}; grant usage on schema shop to ${app};
      revoke all on sequence shop.audit_id_seq from ${owner}; insert into shop.audit (v) values ('x')`);
    const given = { target: login.service };
    expect(codes((await findingsOf(db, given)).filter(({ level }) => level === 'error'))).toEqual(
      [],
    );
    const migration = { ...migrationOf(db), target: login.service };
    const input = inputOf({ source: db.source, target: login.service });
    await copySchema(migration, input, testWork());
    const write = `set role ${login.role}; insert into shop.audit (v) values ('x'); update shop.audit set v = 'y' where id > 0;
      delete from shop.audit; truncate shop.audit; reset role`;
    await db.targetClient.query(write);
    await buildIndexes(migration, input, testWork());
    await buildConstraints(migration, input, testWork());
    await db.targetClient.query(write);
    // Filled as its owner, a role other than the table's.
    await refreshViews(migration, input, null, testWork());
    await setSequences(migration, input);
    await enableTriggers(migration);
    // A cutover that is undone streams again; the final checks of a completed one read tables and sequences.
    await db.targetClient.query(write);
    await setSequences(migration, input);
    await runLateGrants(migration);
    await runLateGrants(migration);
    expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
    await expect(db.targetClient.query(write)).rejects.toMatchObject({ code: '42501' });
  });

  it('of a schema that existed on the target keep their rights on it until the source is disconnected', async () => {
    await using db = await freshPair();
    await using roles = await mover(db);
    const { owner, app, login } = roles;
    await db.sourceClient.query(`
      create schema shop authorization ${owner}; set role ${owner}; create table shop.t (id int primary key, v text);
      create index t_v on shop.t (v); reset role; insert into shop.t values (1);
      revoke all on schema shop from ${owner}; grant usage on schema shop to ${app}`);
    await db.targetClient.query(`create schema shop authorization ${owner}`);
    const migration = { ...migrationOf(db), target: login.service };
    await carry(db, login.service);
    const granted = async () => {
      const { rows } = await db.targetClient.query<{ app: boolean; ours: boolean }>(
        `select has_schema_privilege('${app}', 'shop', 'usage') as app, has_schema_privilege('${login.role}', 'shop', 'create') as ours`,
      );
      return rows;
    };
    expect(await granted()).toEqual([{ app: true, ours: true }]);
    await runLateGrants(migration);
    expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
    expect(await granted()).toEqual([{ app: true, ours: false }]);
  });

  it('without CREATE on the schema of their objects get it temporarily and lose exactly that', async () => {
    await using db = await freshPair();
    await using roles = await mover(db);
    const { owner, app, login } = roles;
    // One owner has the right by a grant on the source, the other no longer has any.
    await db.sourceClient.query(`
      create schema shop authorization ${owner}; grant usage, create on schema shop to ${app};
      set role ${app};
      create table shop.t (id int primary key, v text); create type shop.ty as enum ('a');
      create function shop.f() returns int language sql as 'select 1';
      create view shop.v as select * from shop.t; create domain shop.d as int; create sequence shop.s;
      create materialized view shop.m as select * from shop.t; create procedure shop.p() language sql as '';
      create aggregate shop.mysum(int) (sfunc = int4pl, stype = int); create collation shop.c from "C";
      create operator shop.=== (leftarg = int, rightarg = int, procedure = int4eq);
      create text search configuration shop.words (copy = simple); create statistics shop.st on id, v from shop.t;
      reset role;
      create schema closed authorization ${owner}; create table closed.t (id int primary key);
      grant create on schema closed to ${app}; alter table closed.t owner to ${app}; revoke create on schema closed from ${app};
      grant usage on schema closed to ${app}`);
    expect(await findingsOf(db, { target: login.service })).toEqual([]);
    await carry(db, login.service);
    expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
    const { rows } = await db.targetClient.query<{ shop: boolean; closed: boolean }>(
      `select has_schema_privilege('${app}', 'shop', 'create') as shop, has_schema_privilege('${app}', 'closed', 'create') as closed`,
    );
    expect(rows).toEqual([{ shop: true, closed: false }]);
  });

  it('are named with the statement if the role may not grant it, as in a public schema that others own', async () => {
    await using db = await freshPair();
    await using roles = await mover(db);
    const { owner, login } = roles;
    await db.sourceClient.query(`drop schema public; create schema public authorization ${owner};
      ${TABLE}; alter table t owner to ${owner}`);
    await db.targetClient.query(`grant create on schema public to ${login.role}`);
    const refused = await findingsOf(db, { target: login.service });
    const errors = refused.filter(({ level }) => level === 'error');
    expect(codes(errors)).toEqual(['owner-create']);
    const error = await failure(carry(db, login.service), 'Denied');
    expect(error.message).toContain(`grant create on schema "public" to "${owner}";`);
    await follow(db.targetClient, only(refused, 'owner-create'));
    expect(codes(await findingsOf(db, { target: login.service }))).not.toContain('owner-create');
    await carry(db, login.service);
  });
});

describe('comments and grants on objects of others', () => {
  it('are skipped, named by preflight and in the report, and stop nothing', async () => {
    await using db = await freshPair();
    await using roles = await mover(db);
    const { app, login } = roles;
    const owners = { schema: { owners: false } };
    await db.sourceClient.query(
      `drop schema public; create schema public; ${TABLE}; create extension hstore`,
    );
    await db.targetClient.query(`grant create on schema public to ${login.role}`);
    // Without a comment the statement that pg_dump writes anyway loses nothing.
    const given = { target: login.service, input: owners };
    const before = await findingsOf(db, given);
    expect(before.filter(({ level }) => level === 'error')).toEqual([]);
    await db.sourceClient
      .query(`comment on schema public is 'ours'; grant create on schema public to ${app};
      revoke execute on function hstore(text, text) from public`);
    const found = only(await findingsOf(db, given), 'not-owned');
    expect(found.level).toBe('warning');
    expect(found.message).toContain('comment on SCHEMA public');
    expect(found.message).toContain('grants on SCHEMA public');
    expect(found.message).toContain('grants on FUNCTION public.hstore(text, text)');
    expect(found.action).toContain(`TO ${app};`);
    const report = await carry(db, login.service, owners);
    expect(report.leftOut?.never).toEqual(
      expect.arrayContaining([
        'comment on SCHEMA public',
        'grants on SCHEMA public',
        'grants on FUNCTION public.hstore(text, text)',
      ]),
    );
  });
});

describe('event triggers of the target', () => {
  const trigger = (name: string, body: string, on = 'ddl_command_start') =>
    `create function ${name}() returns event_trigger language plpgsql as $$ begin ${body} end $$;
     create event trigger ${name} on ${on} execute function ${name}();`;

  it('that block walferry are refused with the statements that disable them; others get a warning', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(TABLE);
    await db.targetClient.query(trigger('watching', 'perform 1;'));
    expect(codes(await findingsOf(db))).toEqual(['target-event-triggers']);
    await db.targetClient.query(
      trigger(
        'no_ddl',
        `if tg_tag = 'CREATE INDEX' or tg_tag = 'ALTER TABLE' then raise exception 'no'; end if;`,
      ) +
        trigger('no_drop', `raise exception 'never';`, 'sql_drop') +
        'alter event trigger no_drop enable always',
    );
    const found = only(await findingsOf(db), 'target-event-trigger-blocks');
    expect(found.level).toBe('error');
    expect(found.message).toContain('no_ddl (');
    expect(found.message).toContain('no_drop (drop schema walferry)');
    expect(found.message).not.toContain('watching');
    expect(found.action).toContain('alter event trigger no_drop enable always;');
    // Another role cannot try without them: the server names their functions.
    await using login = await loginOn(db, 'target');
    await db.targetClient.query(`grant create on database ${db.target} to ${login.role};
      grant create on schema public to ${login.role}; grant set on parameter session_replication_role to ${login.role}`);
    const input = { schema: { owners: false } };
    const other = only(
      await findingsOf(db, { target: login.service, input }),
      'target-event-trigger-blocks',
    );
    expect(other.message).toContain('no_ddl (');
    expect(other.message).not.toContain('watching');
    const failed = await failure(carry(db, db.target), 'SchemaFailed');
    expect(failed.message).toContain('event trigger');
    const [disable = ''] = found.action.split('Then');
    await follow(db.targetClient, { ...found, action: disable });
    // What the login was granted exists on the target only.
    expect(codes(await findingsOf(db))).toEqual(['target-event-triggers', 'target-schema-rights']);
  });
});

describe('a newer target', () => {
  it.skipIf(!findOther(17))(
    'reports all views on missing catalog columns at once, and passes when they are excluded',
    async () => {
      const other = findOther(17);
      if (!other) throw new Error('no PostgreSQL 17');
      await using server = await serverOf('target', other);
      await using db = await freshPair({ target: server });
      await db.sourceClient.query(`${TABLE}; create extension pg_stat_statements;
        create view bg as select checkpoints_timed, buffers_backend from pg_stat_bgwriter;
        create view over_bg as select * from bg;
        create view slow as select query, blk_read_time, blk_write_time from pg_stat_statements;
        create materialized view "My.Dbs" as select datname, daticulocale from pg_database`);
      const refused = only(await findingsOf(db), 'object-refused');
      expect(refused.message).toContain('VIEW public.bg (SQLSTATE 42703)');
      expect(refused.message).toContain('VIEW public.slow (SQLSTATE 42703)');
      expect(refused.message).toContain('MATERIALIZED VIEW public.My.Dbs (SQLSTATE 42703)');
      const [, exclude = '[]'] = /"exclude": (\[.*?\])\}/.exec(refused.action) ?? [];
      const names: unknown = JSON.parse(exclude);
      expect(names).toEqual(['public."My.Dbs"', 'public.bg', 'public.slow']);
      const tables = { tables: { exclude: names } };
      expect(codes(await findingsOf(db, { input: tables }))).not.toContain('object-refused');
    },
  );
});

it('a refused object does not prevent the attempt of the others, and nothing remains', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create function f() returns int language sql as 'select 1';
    create view v as select f() as n; create view w as select n from v; create view plain as select id from t`);
  await db.targetClient.query(
    'create view plain as select 1; create function f() returns text language sql as $$ select null::text $$',
  );
  const before = await dumpLines(db.target);
  const found = codes(await findingsOf(db));
  expect(found).toContain('target-clash');
  expect(found).not.toContain('object-refused');
  expect(await dumpLines(db.target)).toEqual(before);
});
