/** Preflight of rows that the target would place in different partitions, and of generated columns that it would compute differently. */
import { expect, it } from 'vitest';
import { addService, freshPair, targetServer } from '../../support/database.ts';
import { codes, findingsOf, only } from '../../support/preflight.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';

/** Does not wait for open transactions of other tests. */
const BUSY = { busy: true };

const TYPES = /* sql */ `
  create type shade as enum ('red', 'green'); create domain shade_of as shade; create type pair as (n int, s shade_of);
  create type shades as range (subtype = shade, multirange_type_name = many_shades);
  create type named as (n int, r regclass);`;

/** The last one is what the finding reports of each. */
const REFUSED: readonly (readonly [string, string, string])[] = [
  ['hash (k)', 'shade', 'hash of public.shade'],
  ['hash (id, k)', 'shade', 'hash of public.shade'],
  [`hash ((coalesce(k, 'red'::shade)))`, 'shade', 'hash of an enum'],
  ['hash (k enum_ops)', 'shade_of', 'hash of public.shade'],
  ['hash (k)', 'shade[]', 'hash of public.shade'],
  ['hash (k)', 'pair', 'hash of public.shade'],
  ['hash (k)', 'shades', 'hash of public.shade'],
  ['hash (k)', 'regclass', 'regclass: values are OIDs'],
  ['range (k)', 'regclass', 'regclass: values are OIDs'],
  ['hash (k)', 'named', 'regclass: values are OIDs'],
];

/** The same on every server. */
const STABLE: readonly (readonly [string, string])[] = [
  ['list (k)', 'shade'],
  ['range (k)', 'shade'],
  ['list (k)', 'regclass'],
  ['hash (k)', 'text'],
  ['range (k collate "C")', 'text'],
  ['hash (k)', 'float8'],
  ['hash (id, k)', 'uuid'],
  ['hash (k)', 'int[]'],
];

function tables(of: readonly (readonly [string, string, string?])[], name: string): string {
  return of
    .map(
      (
        [key, column],
        at,
      ) => /* sql */ `create table ${name}_${at} (id int not null, k ${column}) partition by ${key};
        alter table ${name}_${at} replica identity full;`,
    )
    .join(' ');
}

it('partitions by the hash of an enum or by OIDs, at any depth, are refused with the viaPartitionRoot setting; others are not', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TYPES} ${tables(REFUSED, 'other')} ${tables(STABLE, 'same')}`);
  const found = only(await findingsOf(db, BUSY), 'partition-key');
  expect(found).toMatchObject({ level: 'error' });
  for (const [at, [, , why]] of REFUSED.entries()) {
    expect(found.message).toContain(`public.other_${at} (${why}`);
  }
  expect(found.message).not.toContain('public.same');
  expect(found.action).toContain('"viaPartitionRoot": ["public.other_0", ');
  // What the finding reports.
  await db.targetClient.query(
    `${TYPES} ${tables(REFUSED, 'other').replaceAll(/partition by [^;]+/g, '')}`,
  );
  const input = { tables: { viaPartitionRoot: ['public.other*'] } };
  expect(codes(await findingsOf(db, { ...BUSY, input }))).not.toContain('partition-key');
});

it('partitions by ranges of text that the target sorts differently are refused; those by its hash are not', async () => {
  await using db = await freshPair();
  await db.sourceClient
    .query(/* sql */ `create table item (k text primary key) partition by range (k);
    create table hashed (k text primary key) partition by hash (k);`);
  const name = `${db.target}_x`;
  const { port, spec } = targetServer();
  await db.targetClient.query(
    `create database ${name} template template0 locale_provider icu icu_locale 'de' locale 'C.UTF-8'`,
  );
  addService(name, {
    host: LOOPBACK,
    port: String(port),
    dbname: name,
    user: spec.role,
    password: spec.password,
  });
  const refused = only(await findingsOf(db, { ...BUSY, target: name }), 'partition-key');
  await db.targetClient.query(`drop database ${name} with (force)`);
  expect(refused).toMatchObject({ level: 'error' });
  expect(refused.message).toMatch(
    /public\.item \(text is sorted by libc \S+ on the source and by icu de on the target\)/,
  );
  expect(refused.message).not.toContain('public.hashed');
});

it('partitions by user-defined functions get a warning, and nondeterministic collations are checked', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create function half(int) returns int immutable language sql as 'select $1 / 2';
    create table by_half (id int) partition by list (half(id)); alter table by_half replica identity full;
    create function own_hash(int, bigint) returns bigint immutable language sql as 'select $1 + $2';
    create operator class own_ops for type int using hash as operator 1 =, function 2 own_hash(int, bigint);
    create table by_own (id int) partition by hash (id own_ops); alter table by_own replica identity full;
    create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table by_blind (k text collate blind) partition by hash (k); alter table by_blind replica identity full;`);
  const found = only(await findingsOf(db, BUSY), 'partition-key');
  expect(found).toMatchObject({ level: 'warning' });
  expect(found.message).toContain(
    'public.by_half (function public.half must return the same results there)',
  );
  expect(found.message).toContain(
    'public.by_own (operator class own_ops must return the same results there)',
  );
  // Both test servers use the same library.
  expect(found.message).not.toContain('public.by_blind');
});

it('a target with its own partition key is checked by that key', async () => {
  await using db = await freshPair();
  const ddl = (key: string): string => /* sql */ `
    create type shade as enum ('red', 'green');
    create table item (id int not null, c shade not null, primary key (id, c)) partition by ${key};`;
  await db.sourceClient.query(ddl('hash (c)'));
  await db.targetClient.query(ddl('list (c)'));
  expect(codes(await findingsOf(db, BUSY))).not.toContain('partition-key');
});

it('generated columns whose functions read tables are named, with what they read, also through other functions', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table rate (code text primary key, rate numeric);
    create function rate_of(c text) returns numeric immutable language plpgsql as 'begin return (select rate from public.rate where code = c); end';
    create function through(c text) returns numeric immutable language sql as 'select public.rate_of(c)';
    create function atomic(c text) returns numeric immutable begin atomic select rate from rate where code = c; end;
    create function dynamic(c text) returns numeric immutable language plpgsql as 'declare n numeric; begin execute ''select 1'' into n; return n; end';
    create function plain(d date) returns int immutable language sql as 'select extract(year from d)::int -- from rate';
    create table line (id int primary key, code text, d date,
      a numeric generated always as (rate_of(code)) stored, b numeric generated always as (1 + through(code)) stored,
      c numeric generated always as (atomic(code)) stored, e numeric generated always as (dynamic(code)) stored,
      f int generated always as (plain(d)) stored, g text generated always as (lower(code)) stored);`);
  const { level, message } = only(await findingsOf(db, BUSY), 'generated-reads');
  expect(level).toBe('warning');
  expect(message).toContain('public.line.a (public.rate_of reads public.rate)');
  expect(message).toContain('public.line.b (public.rate_of reads public.rate)');
  expect(message).toContain('public.line.c (public.atomic reads rate)');
  expect(message).toContain('public.line.e (public.dynamic runs dynamic SQL)');
  expect(message).not.toMatch(/line\.(f|g)/);
});
