/** Preflight of databases that store, sort or show text differently. They are created here from template0. */
import { expect, it } from 'vitest';
import {
  connectTo,
  addService,
  freshPair,
  sourceServer,
  targetServer,
} from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { codes, findingsOf, only } from '../../support/preflight.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';

/** A database in addition to the pair's, dropped at the end of the scope. */
async function databaseWith(
  db: FreshPair,
  side: 'source' | 'target',
  options: string,
): Promise<{ name: string } & AsyncDisposable> {
  const [server, client] =
    side === 'source' ? [sourceServer(), db.sourceClient] : [targetServer(), db.targetClient];
  const name = `${db[side]}_x`;
  await client.query(`create database ${name} template template0 ${options}`);
  addService(name, {
    host: LOOPBACK,
    port: String(server.port),
    dbname: name,
    user: server.spec.role,
    password: server.spec.password,
  });
  return {
    name,
    [Symbol.asyncDispose]: async () => {
      await client.query(`drop database ${name} with (force)`);
    },
  };
}

it.each(['LATIN1', 'SQL_ASCII'])(
  'a source in %s is refused, because its stream would be read as other characters',
  async (encoding) => {
    await using db = await freshPair();
    await using other = await databaseWith(db, 'source', `encoding '${encoding}' locale 'C'`);
    await using client = await connectTo(other.name);
    await client.query('create table t (id int primary key)');
    const finding = only(await findingsOf(db, { source: other.name }), 'encoding');
    expect(finding).toMatchObject({ level: 'error' });
    expect(finding.message).toContain(`has encoding ${encoding}`);
  },
);

it('a target in LATIN1 is refused', async () => {
  await using db = await freshPair();
  await db.sourceClient.query('create table t (id int primary key)');
  await using other = await databaseWith(db, 'target', `encoding 'LATIN1' locale 'C'`);
  expect(codes(await findingsOf(db, { target: other.name }))).toEqual(['encoding']);
});

it('another collation provider is a warning, and a collation that the target lacks an error', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(
    'create table t (id int primary key, name text collate "und-x-icu"); create table plain (id int primary key)',
  );
  await using other = await databaseWith(
    db,
    'target',
    `encoding 'UTF8' locale_provider icu icu_locale 'de' locale 'C'`,
  );
  await using client = await connectTo(other.name);
  expect(codes(await findingsOf(db, { target: other.name }))).toEqual(['collation']);
  await client.query(`update pg_collation set collname = 'gone' where collname = 'und-x-icu'`);
  const findings = await findingsOf(db, { target: other.name });
  expect(codes(findings)).toEqual(['collation-missing', 'collation']);
  expect(only(findings, 'collation-missing').message).toMatch(/: und-x-icu$/);
  const plain = { target: other.name, input: { tables: { include: ['public.plain'] } } };
  expect(codes(await findingsOf(db, plain))).toEqual(['collation']);
  expect(only(findings, 'collation').message).toContain('libc C on the source, icu de');
});

it('another time zone and other defaults of sessions are warnings, with both values', async () => {
  await using db = await freshPair();
  await db.sourceClient.query('create table t (id int primary key)');
  await db.targetClient.query(`alter database ${db.target} set timezone = 'Asia/Tokyo'`);
  await db.targetClient.query(`alter database ${db.target} set datestyle = 'German'`);
  const findings = await findingsOf(db);
  expect(codes(findings)).toEqual(['time-zone', 'settings-differ']);
  expect(only(findings, 'time-zone').message).toContain('Asia/Tokyo on the target');
  expect(only(findings, 'settings-differ').message).toMatch(
    /DateStyle ISO, \w+ on the source, German, \w+ on the target$/,
  );
});
