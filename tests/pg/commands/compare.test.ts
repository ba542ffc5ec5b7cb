/** `walferry compare` against two real servers: what it must find and name, and how it reports it. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { freshPair } from '../../support/database.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../scripts/program.ts');

async function compare(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', PROGRAM, 'compare', ...words],
      (error, out, err) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
      },
    );
  });
}

const TABLES = /* sql */ `
  create table city (id bigint primary key, name text, visited timestamptz, price numeric, area float8, raw bytea);
  insert into city select n, 'City ' || n, timestamptz '2020-01-01 00:00Z' + n * interval '1 hour', n * 1.10, n / 3.0,
    decode(md5(n::text), 'hex') from generate_series(1, 20000) n;
  insert into city values (20001, E'tab\\t newline\\n back\\\\slash \\\\N', null, 'NaN', 'Infinity', ''),
                          (20002, null, null, null, null, null);
  create table "Odd name, with ""quotes""" ("a=b" text, "select" integer, primary key ("a=b", "select"));
  insert into "Odd name, with ""quotes""" values ('x, y', 1), ('', 2);
  create table loose (value integer, text text);
  insert into loose select 1, 'same' from generate_series(1, 3);
  insert into loose values (null, null), (null, '');
  create table part (id integer primary key, v text) partition by range (id);
  create table part_low partition of part for values from (0) to (100);
  create table part_high partition of part for values from (100) to (1000);
  insert into part select n, 'p' from generate_series(1, 500) n;
  create sequence lonely;
  select setval('lonely', 41);`;

test('equal databases compare as equal, whatever settings their servers have', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(TABLES);
  await pair.targetClient.query(TABLES);
  const settings = `alter database ${pair.target} set timezone = 'Asia/Tokyo';
    alter database ${pair.target} set datestyle = 'German';
    alter database ${pair.target} set bytea_output = 'escape';
    alter database ${pair.target} set extra_float_digits = 0`;
  for (const line of settings.split(';')) await pair.targetClient.query(line);
  for (const words of [[], ['--md5']]) {
    const outcome = await compare(pair.source, pair.target, ...words);
    expect(outcome).toMatchObject({ code: 0, err: '' });
    expect(outcome.out).toContain('equal: 4 tables, 1 sequences');
    expect(outcome.out).toContain('public.city: equal, 20,002 rows');
    expect(outcome.out).toContain('public.part: equal, 500 rows');
  }
});

test('a table that is partitioned on one side only, or differently, is compared as one table', async () => {
  await using pair = await freshPair();
  const rows = /* sql */ `insert into one select n, 'v' from generate_series(1, 300) n;
    insert into two select n, 'v' from generate_series(1, 300) n;`;
  await pair.sourceClient.query(/* sql */ `
    create table one (id integer primary key, v text) partition by range (id);
    create table one_all partition of one default;
    create table two (id integer primary key, v text); ${rows}`);
  await pair.targetClient.query(/* sql */ `
    create table one (id integer primary key, v text);
    create table two (id integer primary key, v text) partition by hash (id);
    create table two_all partition of two for values with (modulus 1, remainder 0); ${rows}`);
  const equal = await compare(pair.source, pair.target);
  expect(equal.out).toContain('equal: 2 tables');
  expect(equal.code).toBe(0);
  await pair.targetClient.query(
    /* sql */ `delete from two where id = 7; update one set v = 'w' where id = 8`,
  );
  const { code, out } = await compare(pair.source, pair.target);
  expect(code).toBe(1);
  expect(out).toContain('id=7  missing on target');
  expect(out).toContain('id=8  different');
});

test('it names the first keys of rows that are missing, extra or different', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(TABLES);
  await pair.targetClient.query(TABLES);
  await pair.targetClient.query(/* sql */ `
    delete from city where id = 17;
    insert into city (id, name) values (30000, 'new');
    update city set price = price + 0.000000000000000000001 where id = 123;
    update city set raw = null where id = 20001;
    update "Odd name, with ""quotes""" set "select" = 3 where "select" = 1`);
  const outcome = await compare(pair.source, pair.target, '--json');
  expect(outcome.code).toBe(1);
  const result = JSON.parse(outcome.out) as { equal: boolean; tables: { table: string }[] };
  expect(result.equal).toBe(false);
  expect(result.tables.find(({ table }) => table === 'public.city')).toMatchObject({
    equal: false,
    sourceRows: 20_002,
    targetRows: 20_002,
    differing: 4,
    complete: true,
    differences: [
      { key: 'id=17', kind: 'missing on target' },
      { key: 'id=123', kind: 'different' },
      { key: 'id=20001', kind: 'different' },
      { key: 'id=30000', kind: 'only on target' },
    ],
  });
  expect(result.tables.find(({ table }) => table.includes('Odd'))).toMatchObject({
    differences: [
      { key: 'a=b=x, y, select=1', kind: 'missing on target' },
      { key: 'a=b=x, y, select=3', kind: 'only on target' },
    ],
  });
  const text = await compare(pair.source, pair.target, '--show', '1', '--table', 'city');
  expect(text.out).toContain('public.city: DIFFERENT');
  expect(text.out.match(/^ {2}id=/gm)).toHaveLength(1);
});

test('it counts copies of the same row where a table has no key', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(TABLES);
  await pair.targetClient.query(TABLES);
  await pair.targetClient.query(`insert into loose values (1, 'same')`);
  const more = await compare(pair.source, pair.target, '--table', 'loose');
  expect(more.code).toBe(1);
  expect(more.out).toContain('(1,same)  only on target');
  await pair.targetClient
    .query(`delete from loose where ctid in (select ctid from loose where value = 1 limit 1);
    update loose set text = '' where text is null`);
  const nulls = await compare(pair.source, pair.target, '--table', 'loose');
  expect(nulls.code).toBe(1);
});

test('a missing table, another column type and another sequence state are differences', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(TABLES);
  await pair.targetClient.query(TABLES);
  await pair.targetClient.query(`drop table loose; create table more (id integer);
    alter table part alter v type varchar(20); select setval('lonely', 41, false)`);
  const outcome = await compare(pair.source, pair.target);
  expect(outcome.code).toBe(1);
  expect(outcome.out).toContain('public.loose: the table is not on the target');
  expect(outcome.out).toContain('public.more: the table is not on the source');
  expect(outcome.out).toContain('public.part: column v: text / character varying(20)');
  expect(outcome.out).toContain(
    'sequence public.lonely: DIFFERENT, source 41, target 41 (not yet used)',
  );
  expect(outcome.out).toContain('different: 3 of 5 tables, 1 of 1 sequences');
  const rest = await compare(
    ...[pair.source, pair.target, '--exclude', 'public.p*', '--exclude', '*.loose'],
    ...['--exclude', 'more', '--no-sequences'],
  );
  expect(rest.code).toBe(0);
});

test('two databases without any table do not count as equal', async () => {
  await using pair = await freshPair();
  const outcome = await compare(pair.source, pair.target);
  expect(outcome).toMatchObject({ code: 2, out: '' });
  expect(outcome.err).toMatch(/nothing to compare: no table is selected in "\w+" and "\w+"/);
});

test('unknown services, patterns and options end with code 2 and one clear message', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query('create table t (id integer)');
  const service = await compare(pair.source, 'no_such_service');
  expect(service).toMatchObject({ code: 2, out: '' });
  expect(service.err).toContain('no_such_service');
  const pattern = await compare(pair.source, pair.source, '--table', 'orders');
  expect(pattern.code).toBe(2);
  expect(pattern.err).toContain('no table on either side matches "orders"');
  const itself = await compare(pair.source, pair.source);
  expect(itself).toMatchObject({ code: 2, out: '' });
  expect(itself.err).toMatch(/are the same database/);
  expect((await compare(pair.source)).code).toBe(2);
  expect((await compare('--help')).out).toContain(
    'Exit codes: 0 equal (definitions: nothing wrong), 1 different, 2 error',
  );
});
