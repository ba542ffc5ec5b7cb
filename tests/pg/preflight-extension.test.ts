/**
 * Preflight of extensions. Both servers of the tests have the same packages, so an extension that one of them lacks, an old
 * version, and tables for users' rows are made by changing the catalog's entry of a real one (the tests are superuser).
 */
import { expect, it } from 'vitest';
import { freshPair } from '../support/database.ts';
import { codes, findingsOf, follow, loginOn, only } from '../support/preflight.ts';

const TABLE = 'create table t (id int primary key)';

it('an extension that both sides have is no finding', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore; create extension citext`);
  await db.targetClient.query('create extension citext');
  expect(await findingsOf(db)).toEqual([]);
});

it('one that the target does not offer is refused by name and version', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    update pg_extension set extname = 'walferry_nowhere' where extname = 'hstore'`);
  const finding = only(await findingsOf(db), 'extension-missing');
  expect(finding.message).toMatch(/walferry_nowhere 1\.\d+$/);
});

it('one that is older on the target is a warning, with both versions', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    update pg_extension set extversion = '99.1' where extname = 'hstore'`);
  const finding = only(await findingsOf(db), 'extension-older');
  expect(finding.message).toMatch(/hstore \(99\.1 on the source, 1\.\d+ on the target\)$/);
});

it('one in another schema is refused, and the statement mends it', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`create schema ext; ${TABLE}; create extension hstore schema ext`);
  await db.targetClient.query('create schema ext; create extension hstore');
  const finding = only(await findingsOf(db), 'extension-schema');
  expect(finding.message).toContain('hstore (ext on the source, public on the target)');
  await follow(db.targetClient, finding);
  expect(await findingsOf(db)).toEqual([]);
});

it('one that only a superuser may create is refused for another role, and mended by creating it', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension pageinspect; create extension hstore`);
  await using login = await loginOn(db, 'target');
  await db.targetClient.query(`grant all on schema public to ${login.role};
    grant create on database ${db.target} to ${login.role};
    grant set on parameter session_replication_role to ${login.role}`);
  const given = { target: login.service, input: { schema: { owners: false } } };
  const findings = await findingsOf(db, given);
  // hstore is trusted: a role with create on the database may make it.
  expect(codes(findings)).toEqual(['extension-right']);
  expect(only(findings, 'extension-right').message).toMatch(/: pageinspect$/);
  await follow(db.targetClient, only(findings, 'extension-right'));
  expect(await findingsOf(db, given)).toEqual([]);
});

it("rows of users in an extension's own table are refused until they are accepted; the extension's rows are not counted", async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLE}; create extension hstore;
    create table conf (id int primary key); insert into conf values (1);
    alter extension hstore add table conf;
    update pg_extension set extconfig = array['conf'::regclass::oid], extcondition = array['where id > 1']
     where extname = 'hstore'`);
  expect(await findingsOf(db)).toEqual([]);
  await db.sourceClient.query('insert into conf values (2)');
  expect(only(await findingsOf(db), 'extension-rows')).toMatchObject({ level: 'error' });
  expect(only(await findingsOf(db), 'extension-rows').message).toMatch(/public\.conf \(hstore\)$/);
  expect(await findingsOf(db, { input: { leave: { extensionRows: true } } })).toMatchObject([
    { level: 'warning', code: 'extension-rows' },
  ]);
});
