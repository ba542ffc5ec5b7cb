/** Preflight of objects that are not moved, that need a special right, or whose names are taken on the target. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { undoSchema } from '../../../postgres/schema/undo-schema.ts';
import { freshPair } from '../../support/database.ts';
import { CLEAN, codes, findingsOf, follow, loginOn, only } from '../../support/preflight.ts';
import { inputOf, migrationOf, testWork } from '../schema/schema-fidelity.ts';

const TABLE = 'create table t (id int primary key)';

describe('what is not moved', () => {
  it('large objects are refused with their count, until the operator accepts their loss', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`${TABLE}; select lo_create(0) from generate_series(1, 3)`);
    const finding = only(await findingsOf(db), 'large-objects');
    expect(finding.level).toBe('error');
    expect(finding.message).toContain('3 large objects');
    const accepted = await findingsOf(db, { input: { ignore: { largeObjects: true } } });
    expect(accepted).toMatchObject([{ level: 'warning', code: 'large-objects' }]);
    await db.sourceClient.query('select lo_unlink(oid) from pg_largeobject_metadata');
    expect(await findingsOf(db)).toEqual([]);
  });

  it('publications, subscriptions, temporary tables and settings of the database are named', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`${TABLE}; create publication "News" for table t;
      create temporary table mine (id int)`);
    await db.sourceClient.query(
      `create subscription feed connection 'dbname=nowhere' publication x with (connect = false)`,
    );
    await db.sourceClient.query(`alter database ${db.source} set work_mem = '5MB'`);
    try {
      const findings = await findingsOf(db);
      expect(findings.map(({ level, code }) => `${level} ${code}`)).toEqual(
        expect.arrayContaining([
          'warning subscriptions',
          'note publications',
          'note database-settings',
          'note temporary-tables',
        ]),
      );
      expect(only(findings, 'subscriptions').message).toContain('feed (disabled)');
      expect(only(findings, 'publications').message).toContain('News');
      expect(only(findings, 'database-settings').message).toMatch(/work_mem$/);
    } finally {
      await db.sourceClient.query('alter subscription feed set (slot_name = none)');
      await db.sourceClient.query('drop subscription feed');
    }
  });
});

describe('what needs a special right', () => {
  it('event triggers are refused for a role that may not create them (it is tried), and named for one that may', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`${TABLE};
      create function f() returns event_trigger language plpgsql as 'begin end';
      create event trigger audit on ddl_command_end execute function f()`);
    expect(await findingsOf(db)).toMatchObject([{ level: 'note', code: 'event-triggers' }]);
    await using login = await loginOn(db, 'target');
    const found = await findingsOf(db, { target: login.service });
    expect(only(found, 'event-trigger-right').message).toContain(`role ${login.role} may not`);
    const left = { ignore: { eventTriggers: ['audit'] } };
    const accepted = codes(await findingsOf(db, { target: login.service, input: left }));
    expect(accepted).toContain('event-triggers-ignored');
    expect(accepted).not.toContain('event-trigger-right');
    // The right to create temporary objects, which the attempt's function needs, does not decide.
    await db.targetClient.query(`revoke temporary on database ${db.target} from public`);
    expect(codes(await findingsOf(db, { target: login.service }))).toContain('event-trigger-right');
    await db.targetClient.query(`alter role ${login.role} superuser`);
    const permitted = await findingsOf(db, { target: login.service });
    expect(codes(permitted)).toContain('event-triggers');
    expect(codes(permitted)).not.toContain('event-trigger-right');
    // An event trigger's owner is a superuser; the role of that name on the target need not be one.
    const owner = `owner_${randomBytes(5).toString('hex')}`;
    await db.sourceClient.query(
      `create role ${owner} superuser; alter event trigger audit owner to ${owner}`,
    );
    const owned = async (input: Record<string, unknown> = {}): Promise<string[]> =>
      (await findingsOf(db, { input }))
        .filter(({ code }) => code === 'event-trigger-right')
        .map(({ message }) => message);
    try {
      expect(await owned()).toEqual([expect.stringContaining(owner)]);
      await db.targetClient.query(`create role ${owner}`);
      expect(await owned()).toEqual([expect.stringContaining(owner)]);
      expect(await owned({ schema: { owners: false } })).toEqual([]);
      await db.targetClient.query(`alter role ${owner} superuser`);
      expect(await owned()).toEqual([]);
    } finally {
      await db.sourceClient.query(`drop event trigger audit; drop role ${owner}`);
      await db.targetClient.query(`drop role if exists ${owner}`);
    }
    const { rows } = await db.targetClient.query('select from pg_event_trigger');
    expect(rows).toEqual([]);
  });

  it('default privileges of other roles, and those that the target would add, are named', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(TABLE);
    await using login = await loginOn(db, 'target', 'superuser');
    await db.targetClient.query(`alter role ${login.role} nosuperuser;
      grant all on schema public to ${login.role};
      grant create on database ${db.target} to ${login.role};
      grant set on parameter session_replication_role to ${login.role}`);
    const given = {
      target: login.service,
      input: { schema: { owners: false } },
    };
    expect(await findingsOf(db, given)).toEqual([]);
    const { rows } = await db.sourceClient.query<{ me: string }>('select current_user as me');
    const me = rows[0]?.me ?? '';
    await db.sourceClient.query('alter default privileges grant select on tables to public');
    const refused = await findingsOf(db, given);
    expect(codes(refused)).toEqual(['default-privileges']);
    expect(only(refused, 'default-privileges').message).toContain(me);
    await follow(db.targetClient, only(refused, 'default-privileges'));
    expect(await findingsOf(db, given)).toEqual([]);
    await db.targetClient.query(
      `alter default privileges for role ${login.role} grant select on tables to public`,
    );
    expect(codes(await findingsOf(db, given))).toEqual(['target-default-privileges']);
  });
});

describe('what the role may not see', () => {
  it('user mappings with hidden options are named, also in the report; visible ones are not', async () => {
    await using db = await freshPair();
    await using login = await loginOn(db, 'source', 'replication');
    const remote = `remote_${randomBytes(5).toString('hex')}`;
    for (const client of [db.sourceClient, db.targetClient])
      await client.query(`create role ${remote}`);
    try {
      await db.sourceClient
        .query(`${TABLE}; create extension postgres_fdw; grant pg_read_all_data to ${login.role};
        create server "Far" foreign data wrapper postgres_fdw options (host 'far.example');
        grant usage on foreign server "Far" to ${login.role};
        create user mapping for ${remote} server "Far" options (user 'x', password 'secret-of-remote');
        create user mapping for ${login.role} server "Far" options (user 'x', password 'own-secret');
        create user mapping for public server "Far" options (user 'any', password 'public-secret')`);
      expect(codes(await findingsOf(db))).not.toContain('user-mappings');
      const found = only(await findingsOf(db, { source: login.service }), 'user-mappings');
      expect(found.message).toContain(
        `USER MAPPING for public on server "Far", USER MAPPING for ${remote} on server "Far"`,
      );
      expect(found.message).not.toContain(`for ${login.role} on`);
      expect(JSON.stringify(found)).not.toContain('secret');
      await db.sourceClient.query(`drop user mapping for ${login.role} server "Far"`);
      const migration = { ...migrationOf(db), source: login.service };
      // The login, which exists only on the source, has a grant there.
      const input = inputOf(
        { source: login.service, target: db.target },
        { schema: { grants: false } },
      );
      const { leftOut } = await copySchema(migration, input, testWork());
      expect(leftOut?.never).toEqual([
        'options of USER MAPPING for public on server "Far"',
        `options of USER MAPPING for ${remote} on server "Far"`,
      ]);
    } finally {
      for (const client of [db.sourceClient, db.targetClient]) {
        await client.query(`drop owned by ${remote} cascade; drop role ${remote}`);
      }
    }
  });
});

describe('what the target would have otherwise', () => {
  it('an existing schema with another owner and other grants is named with the statements, and in the summary', async () => {
    await using db = await freshPair();
    const id = randomBytes(4).toString('hex');
    const [owner, reader] = [`owner_${id}`, `reader_${id}`];
    for (const client of [db.sourceClient, db.targetClient]) {
      await client.query(`create role ${owner}; create role ${reader}; create schema app`);
    }
    try {
      await db.sourceClient.query(`create table app.t (id int primary key);
        alter schema app owner to ${owner}; alter schema public owner to ${owner}; grant usage on schema app to ${reader}`);
      await db.targetClient.query(
        `grant create, usage on schema app to ${reader}; grant usage on schema app to public`,
      );
      const finding = only(await findingsOf(db), 'target-schema-rights');
      expect(finding.level).toBe('warning');
      const admin = (await db.targetClient.query<{ name: string }>('select current_user as name'))
        .rows[0]?.name;
      expect(finding.message).toContain(
        `app belongs to ${owner} on the source, to ${admin} on the target`,
      );
      expect(finding.message).toContain(
        `app grants CREATE to ${reader}, USAGE to PUBLIC on the target only`,
      );
      expect(finding.message).toContain(`public belongs to ${owner} on the source`);
      const plain = await findingsOf(db, { input: { schema: { owners: false, grants: false } } });
      expect(codes(plain)).not.toContain('target-schema-rights');
      const migration = migrationOf(db);
      const { leftOut } = await copySchema(migration, inputOf(db), testWork());
      expect(leftOut?.never).toEqual([
        `OWNER of SCHEMA app (${owner} on the source, ${admin} on the target)`,
        `GRANT on SCHEMA app of the target only: CREATE to ${reader}`,
        'GRANT on SCHEMA app of the target only: USAGE to PUBLIC',
        `OWNER of SCHEMA public (${owner} on the source, pg_database_owner on the target)`,
      ]);
      await undoSchema(migration);
      for (const statement of finding.action.matchAll(/(?:alter|revoke) [^;]+;/g)) {
        await db.targetClient.query(statement[0]);
      }
      expect(await findingsOf(db)).toEqual([]);
    } finally {
      for (const client of [db.sourceClient, db.targetClient]) {
        await client.query(`alter schema public owner to pg_database_owner;
          drop owned by ${owner}, ${reader} cascade; drop role ${owner}, ${reader}`);
      }
    }
  });

  it('constraints whose triggers are disabled are named, and objects that users put on tables of an extension', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`create table par (id int primary key);
      create table chi (id int primary key, par int references par, n int unique deferrable);
      begin; create extension hstore; create table word (id int primary key, v text check (v <> '')); create index own on word (v);
      alter extension hstore add table word; commit`);
    const ignore = { ignore: { extensionRows: true } };
    expect(codes(await findingsOf(db, { input: ignore }))).toEqual(['extension-members']);
    await db.sourceClient
      .query(`alter table par disable trigger all; create index mine on word (lower(v));
      alter table word add constraint short check (length(v) < 9);
      create trigger t before insert on word for each row execute function suppress_redundant_updates_trigger()`);
    const finding = only(await findingsOf(db, { input: ignore }), 'unenforced-constraints');
    expect(finding.level).toBe('warning');
    expect(finding.message).toMatch(/: chi_par_fkey of public\.chi$/);
    const { leftOut } = await copySchema(migrationOf(db), inputOf(db, ignore), testWork());
    expect(leftOut?.never).toEqual([
      'CONSTRAINT short on public.word (extension hstore)',
      'INDEX mine on public.word (extension hstore)',
      'TRIGGER t on public.word (extension hstore)',
    ]);
  });

  it('a schema "walferry" of the application is refused, and our own control tables are not', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(
      `${TABLE}; create schema walferry; create table walferry.migration (id int primary key)`,
    );
    const finding = only(await findingsOf(db), 'source-own-schema');
    expect(finding.level).toBe('error');
    await db.sourceClient.query('drop schema walferry cascade');
    await using other = await freshPair();
    await other.sourceClient.query(TABLE);
    await copySchema(migrationOf(other), inputOf(other), testWork());
    // A target can be the source of the next migration.
    const next = await findingsOf(db, { source: other.target });
    expect(codes(next)).not.toContain('source-own-schema');
  });
});

describe('names on the target', () => {
  it('views, sequences, types, indexes and functions that already exist are named', async () => {
    await using db = await freshPair();
    const objects = `
      create type mood as enum ('a'); create domain price as numeric; create sequence counter;
      create function f(a int, b mood) returns int language sql as 'select 1';`;
    await db.sourceClient.query(`${CLEAN}; ${objects} create index by_name on person (name)`);
    await db.targetClient.query(
      `${objects} create view people as select 1; create view by_name as select 1;
       create function f(a int) returns int language sql as 'select 1'; create table other (id int)`,
    );
    const findings = await findingsOf(db);
    expect(codes(findings)).toEqual(['target-clash', 'target-other-tables']);
    expect(only(findings, 'target-clash').message).toContain(
      'function public.f(a integer, b public.mood), relation public.by_name, relation public.counter, relation public.people, type public.mood, type public.price',
    );
    // Only the function with the same arguments is in the way.
    expect(only(findings, 'target-clash').message).not.toContain('public.f(a integer),');
  });

  it('a sequence or view of a table that is not selected is no obstacle', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(`${TABLE};
      create table other (id serial primary key, n int generated always as identity);
      create view others as select id from other; create view more as select id from others;
      create table borrower (id int primary key default nextval('other_id_seq'))`);
    await db.targetClient.query(`create sequence other_id_seq; create sequence other_n_seq;
      create view others as select 1; create view more as select 1`);
    const clash = async (include: string[]): Promise<string[]> =>
      (await findingsOf(db, { input: { tables: { include } } }))
        .filter(({ code }) => code === 'target-clash')
        .map(({ message }) => message);
    expect(await clash(['public.t'])).toEqual([]);
    // The default of a selected table needs the other table's sequence.
    expect(await clash(['public.borrower'])).toEqual([
      expect.stringMatching(/: relation public\.other_id_seq$/),
    ]);
    expect(await clash(['*.*'])).toEqual([
      expect.stringContaining(
        'public.more, relation public.other_id_seq, relation public.other_n_seq, relation public.others',
      ),
    ]);
  });

  it('event triggers of the target are named, and refused if they have the name of one that is created there', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(TABLE);
    await db.targetClient.query(`
      create function watch() returns event_trigger language plpgsql as 'begin end';
      create event trigger guard on ddl_command_end execute function watch()`);
    const finding = only(await findingsOf(db), 'target-event-triggers');
    expect(finding.message).toMatch(/: guard$/);
    // Otherwise one of the same name, also a disabled one, would be found only after the rows are copied.
    await db.targetClient.query(`alter event trigger guard disable`);
    await db.sourceClient.query(`
      create function look() returns event_trigger language plpgsql as 'begin end';
      create event trigger guard on ddl_command_end execute function look()`);
    expect(only(await findingsOf(db), 'target-clash').message).toMatch(/event triggers .*: guard$/);
    const left = { ignore: { eventTriggers: ['guard'] } };
    expect(codes(await findingsOf(db, { input: left }))).not.toContain('target-clash');
  });
});
