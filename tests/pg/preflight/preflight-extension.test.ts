/**
 * Preflight of extensions. Both test servers have the same packages, so the tests (as superuser) change the catalog entry of a
 * real extension for one that a server lacks, an old version, and tables with users' rows.
 */
import { expect, it } from 'vitest';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { undoSchema } from '../../../postgres/schema/undo-schema.ts';
import { freshPair } from '../../support/database.ts';
import { codes, findingsOf, follow, loginOn, only } from '../../support/preflight.ts';
import { inputOf, migrationOf, testWork } from '../schema/schema-fidelity.ts';

const TABLE = 'create table t (id int primary key)';

it('an extension that both sides have is no finding', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore; create extension citext`);
  await db.targetClient.query('create extension citext');
  expect(await findingsOf(db)).toEqual([]);
});

it('an extension that the target does not offer is refused by name and version', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    update pg_extension set extname = 'walferry_nowhere' where extname = 'hstore'`);
  const finding = only(await findingsOf(db), 'extension-missing');
  expect(finding.message).toMatch(/walferry_nowhere 1\.\d+$/);
});

it('grants and comments on a member that the target’s version lacks are skipped and named', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    revoke execute on function akeys(hstore) from public; grant execute on function avals(hstore) to current_user`);
  await db.targetClient.query(`create extension hstore;
    alter extension hstore drop function akeys(hstore); drop function akeys(hstore)`);
  const name = 'grants on FUNCTION public.akeys(public.hstore)';
  const found = await findingsOf(db);
  expect(only(found, 'not-owned').message).toContain(name);
  expect(found.filter(({ level }) => level === 'error')).toEqual([]);
  const migration = migrationOf(db);
  const report = await copySchema(migration, inputOf(db), testWork());
  const late = await db.targetClient.query<{ object: string }>(
    `select object from walferry.left_out where object like 'grants%'`,
  );
  expect(late.rows).toEqual([{ object: name }]);
  expect(report.leftOut?.never).toEqual([name]);
  await buildIndexes(migration, inputOf(db), testWork());
  await buildConstraints(migration, inputOf(db), testWork());
});

it('an extension with an older version on the target is a warning, with both versions', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    update pg_extension set extversion = '99.1' where extname = 'hstore'`);
  const finding = only(await findingsOf(db), 'extension-older');
  expect(finding.message).toMatch(/hstore \(99\.1 on the source, 1\.\d+ on the target\)$/);
});

it('an extension in another schema is refused, and the statements fix it, whether it can be moved or must be recreated', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`create schema "Ext"; create schema more; ${TABLE};
    create extension hstore schema "Ext"; create extension xml2 schema more; create extension citext schema more`);
  // One of the schemas exists; xml2 is not relocatable.
  await db.targetClient.query(
    'create schema more; create extension hstore; create extension xml2; create extension citext',
  );
  const finding = only(await findingsOf(db), 'extension-schema');
  expect(finding.message).toContain('hstore (Ext on the source, public on the target)');
  expect(finding.message).toContain('xml2 (more on the source, public on the target)');
  await follow(db.targetClient, finding);
  expect(await findingsOf(db)).toEqual([]);
});

it('an extension that the target offers and cannot create is refused with the SQLSTATE of the attempt, which leaves nothing', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create schema ext; create extension cube schema ext;
    create extension earthdistance schema ext; create extension pg_trgm`);
  await db.targetClient.query(
    `create function similarity(text, text) returns real language sql as 'select 0'`,
  );
  const finding = only(await findingsOf(db), 'extension-refused');
  expect(finding.message).toMatch(/: pg_trgm \(SQLSTATE 42723\)$/);
  await db.targetClient.query('drop function similarity');
  expect(await findingsOf(db)).toEqual([]);
  const { rows } = await db.targetClient.query(/* sql */ `
    select extname from pg_extension where extname <> 'plpgsql' union select nspname from pg_namespace where nspname = 'ext'`);
  expect(rows).toEqual([]);
});

it('an extension that only a superuser may create is refused for another role, and creating it fixes that', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension pageinspect; create extension hstore`);
  await using login = await loginOn(db, 'target');
  await db.targetClient.query(`grant all on schema public to ${login.role};
    grant create on database ${db.target} to ${login.role};
    grant set on parameter session_replication_role to ${login.role}`);
  const given = { target: login.service, input: { schema: { owners: false } } };
  const findings = await findingsOf(db, given);
  // hstore is trusted: a role with CREATE on the database may create it.
  expect(codes(findings)).toEqual(['extension-right']);
  expect(only(findings, 'extension-right').message).toMatch(/: pageinspect$/);
  await follow(db.targetClient, only(findings, 'extension-right'));
  expect(await findingsOf(db, given)).toEqual([]);
});

it('rows of users in an extension’s own table are refused until they are accepted; the extension’s rows are not counted', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    create table conf (id int primary key); insert into conf values (1);
    alter extension hstore add table conf;
    update pg_extension set extconfig = array['conf'::regclass::oid], extcondition = array['where id > 1']
     where extname = 'hstore'`);
  // Created by CREATE EXTENSION, like the tables of real extensions.
  await db.targetClient.query(`create extension hstore; create table conf (id int primary key);
    alter extension hstore add table conf`);
  expect(await findingsOf(db)).toEqual([]);
  await db.sourceClient.query('insert into conf values (2)');
  expect(only(await findingsOf(db), 'extension-rows')).toMatchObject({ level: 'error' });
  expect(only(await findingsOf(db), 'extension-rows').message).toMatch(/public\.conf \(hstore\)$/);
  expect(await findingsOf(db, { input: { ignore: { extensionRows: true } } })).toMatchObject([
    { level: 'warning', code: 'extension-rows' },
  ]);
});

const LEFT = /* sql */ `
  create extension pg_stat_statements; create extension pg_trgm; create extension cube; create extension earthdistance;
  create extension "uuid-ossp"; create extension hstore; create domain tags as hstore;
  create table plain (id int primary key);
  create table used (id uuid primary key default uuid_generate_v4(), w text, t tags[]);
  create index by_word on used using gin (w gin_trgm_ops);
  create function alike(text) returns boolean language sql immutable begin atomic select similarity($1, 'a') > 0; end;
  alter table used add constraint not_alike check (not alike(w));
  create view slow as select query from pg_stat_statements; create view slower as select * from slow;
  create materialized view slowest as select * from slower with no data; create index on slowest (query);
  create function slow_ones() returns setof slow language sql as 'select * from slow'`;

it('extensions that the input excludes need nothing on the target: what goes with them is named', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${LEFT};
    update pg_extension set extname = 'walferry_nowhere' where extname = 'pg_stat_statements'`);
  const of = (extensions: string[], exclude: string[] = []) =>
    findingsOf(db, { input: { ignore: { extensions }, tables: { exclude } } });
  expect(codes(await of([]))).toEqual(['extension-missing']);
  const left = await of(['walferry_nowhere']);
  expect(codes(left)).toEqual(['extension-ignored']);
  expect(only(left, 'extension-ignored').message).toMatch(
    /: walferry_nowhere; nor are objects that depend on them: function public\.slow_ones\(\), materialized view public\.slowest, view public\.slow, view public\.slower$/,
  );
  const unmatched = await of(['walferry_nowhere', 'Cube']);
  expect(codes(unmatched).sort()).toEqual(['extension-ignored', 'ignore-object-unmatched']);
  expect(only(unmatched, 'ignore-object-unmatched').message).toMatch(/: Cube$/);
});

it('an extension that a selected table or another extension needs is refused with every dependent by name, until those are excluded, too', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(LEFT);
  const of = async (extensions: string[], exclude: string[] = []) =>
    await findingsOf(db, { input: { ignore: { extensions }, tables: { exclude } } });
  const needed = only(await of(['hstore', 'pg_trgm', 'uuid-ossp', 'cube']), 'extension-needed');
  for (const part of [
    'table column public.used.t',
    'index public.by_word',
    'default value for public.used.id',
    'table constraint not_alike on public.used',
    'extension earthdistance',
  ]) {
    expect(needed.message).toContain(part);
  }
  const rest = await of(
    ['hstore', 'pg_trgm', 'uuid-ossp', 'cube', 'earthdistance'],
    ['public.used'],
  );
  expect(codes(rest)).toEqual(['extension-ignored']);
  expect(rest[0]?.message).toMatch(
    /depend on them: function public\.alike\(pg_catalog\.text\), type public\.tags$/,
  );
});

it('roles with grants on members of an extension, or on functions of the system, must exist', async () => {
  await using db = await freshPair();
  await using onMember = await loginOn(db, 'source');
  await using onSystem = await loginOn(db, 'source');
  await db.sourceClient.query(`${TABLE}; create extension pg_stat_statements;
    grant execute on function pg_stat_statements_reset(oid, oid, bigint) to ${onMember.role};
    grant execute on function pg_catalog.pg_ls_dir(text) to ${onSystem.role}`);
  const missing = async (input: Record<string, unknown>) => {
    const found = (await findingsOf(db, { input })).filter(({ code }) => code === 'role-missing');
    return [onMember.role, onSystem.role].map((role) =>
      found.some(({ message }) => message.includes(role)),
    );
  };
  expect(await missing({})).toEqual([true, true]);
  expect(await missing({ ignore: { extensions: ['pg_stat_statements'] } })).toEqual([false, true]);
  expect(await missing({ schema: { grants: false } })).toEqual([false, false]);
  await db.sourceClient.query('drop extension pg_stat_statements');
});

it('a table or sequence that a user added to an extension is refused until the statements are run; what the extension creates is no finding', async () => {
  await using db = await freshPair();
  await db.sourceClient
    .query(`${TABLE}; create extension hstore; create extension earthdistance cascade;
    create table queue (id bigint generated always as identity primary key, v text); insert into queue (v) values ('job');
    create table empty (id int primary key); create sequence counter; create function helper() returns int language sql as 'select 1';
    alter extension hstore add table queue; alter extension hstore add table empty;
    alter extension hstore add sequence counter; alter extension hstore add function helper()`);
  const finding = only(await findingsOf(db), 'extension-members');
  expect(finding.level).toBe('error');
  for (const name of ['table public.queue', 'table public.empty', 'sequence public.counter']) {
    expect(finding.message).toContain(`${name} (hstore)`);
  }
  expect(finding.message).not.toContain('earth');
  const accepted = await findingsOf(db, { input: { ignore: { extensionRows: true } } });
  expect(accepted).toMatchObject([{ level: 'warning', code: 'extension-members' }]);
  const migration = migrationOf(db);
  const { leftOut } = await copySchema(
    migration,
    inputOf(db, { ignore: { extensionRows: true } }),
    testWork(),
  );
  expect(leftOut?.accepted).toEqual([
    'contents of table public.queue (member of extension hstore)',
  ]);
  await undoSchema(migration);
  await follow(db.sourceClient, finding);
  expect(await findingsOf(db)).toEqual([]);
  await db.sourceClient.query('alter extension hstore add function helper()');
  expect(await findingsOf(db)).toMatchObject([{ level: 'warning', code: 'extension-members' }]);
});

it('rows that a user adds to a table of an extension are distinguished from the rows of the extension', async () => {
  await using db = await freshPair();
  // Like an extension that exists on both sides, with a table that is not its configuration.
  const made = `create extension hstore; create table word (v text); insert into word values ('a'), ('b');
    create sequence numbers; select nextval('numbers'); alter extension hstore add table word; alter extension hstore add sequence numbers`;
  await db.sourceClient.query(`${TABLE}; ${made}`);
  await db.targetClient.query(made);
  expect(await findingsOf(db)).toEqual([]);
  await db.sourceClient.query(`update word set v = 'c' where v = 'b'; select nextval('numbers')`);
  const finding = only(await findingsOf(db), 'extension-rows');
  expect(finding.message).toContain('public.word (hstore)');
  expect(finding.message).toContain('sequence public.numbers (hstore)');
});
