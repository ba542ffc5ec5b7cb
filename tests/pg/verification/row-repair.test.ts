/** Repairing rows: what the verification stored is made what the source has, and nothing else is written. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { disableEnabledTriggers } from '../../../postgres/schema/disable-found-trigger.ts';
import { takeEpoch } from '../../../postgres/store/epoch.ts';
import { repairRows } from '../../../postgres/verification/row-repair.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { statesOf } from '../../support/held-states.ts';
import { testRun } from '../../support/run.ts';
import { expectSame, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { readyMigration, verify } from '../../support/verifying.ts';

const COMMON = /* sql */ `
  create type mood as enum ('sad', 'ok');
  create type pair as (a int, b text);
  create domain positive as int check (value > 0);
  create table customers (id int primary key, name varchar(10));
  create table orders (id int generated always as identity primary key, customer int references customers on delete cascade,
    n int, twice int generated always as (n * 2) stored);
  create table keyless (a int, b text, j json);
  create table strange (k char(5), b bit(3), d positive, m mood, c pair, x xml, ar int[], n numeric, bin bytea,
    primary key (k, b, d, m));
  create table numbers (n numeric primary key, v text);
  create table named ("__proto__" int, "prototype" uuid, "constructor" text, "toString" text, primary key ("__proto__", "prototype", "constructor"));
  create table log (what text);`;
const VIA = { include: ['*.*'], exclude: [], viaPartitionRoot: ['public.via'] };

const REPAIR = path.join(import.meta.dirname, '../../support/repair-process.ts');

/** The kernel's state of a process: `T` is stopped. */
const stateOf = (pid: number | undefined): string | undefined =>
  /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];

let db: FreshPair;
let migration: Migration;
const input = { tables: VIA };

beforeAll(async () => {
  db = await freshPair();
  migration = await readyMigration(
    db,
    /* sql */ `${COMMON}
    create table via (id int, k int, v text, primary key (id, k)) partition by list (k);
    create table via_1 partition of via for values in (1);
    create table via_2 partition of via for values in (2);
    insert into customers select i, 'name ' || i from generate_series(1, 100) i;
    insert into orders (customer, n) select 1 + i % 100, i from generate_series(1, 500) i;
    insert into keyless select i % 10, 'x', '{"a":  1}' from generate_series(1, 100) i;
    insert into strange select i::text, (i % 8)::bit(3), i, 'ok', row(null, 'b')::pair, '<a/>', '{1,null}', i / 4.0, '\\x00ff' from generate_series(1, 50) i;
    insert into numbers select i, 'v' from generate_series(1, 20) i;
    insert into named select i, '00000000-0000-0000-0000-000000000000', 'c', 'v' from generate_series(1, 20) i;
    insert into via select i, 1 + i % 2, 'v ' || i from generate_series(1, 50) i`,
    VIA,
    /* sql */ `${COMMON}
    create table via (v text, k int, id int, primary key (id, k));
    create function note() returns trigger language plpgsql as 'begin insert into log values (tg_name); return new; end';
    create trigger noted after insert or update or delete on customers for each row execute function note();
    create trigger always after insert or update or delete on orders for each row execute function note();
    alter table orders enable always trigger always`,
  );
  // The helper that fills the tables fires them.
  await db.targetClient.query(/* sql */ `truncate log`);
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
});

const DAMAGE = /* sql */ `
  set session_replication_role = replica;
  alter table orders disable trigger always;
  update customers set name = 'wrong' where id = 7;
  delete from customers where id = 8;
  insert into customers values (1000, 'extra');
  delete from orders where id in (3, 4);
  update orders set n = -1 where id = 5;
  insert into orders (id, customer, n) overriding system value values (9000, 1, 1);
  update keyless set j = '{"a":1}' where ctid in (select ctid from keyless where a = 3 limit 2);
  insert into keyless select * from keyless where a = 4 limit 3;
  delete from keyless where ctid = (select ctid from keyless where a = 5 limit 1);
  update strange set c = null where d = 4;
  update strange set ar = '{1,2}', bin = '' where d = 5;
  delete from strange where d = 6;
  update numbers set n = 5.00 where n = 5;
  update named set "toString" = 'wrong' where "__proto__" = 5;
  delete from named where "__proto__" = 6;
  update via set v = 'wrong' where id = 9;
  delete from via where id = 10;
  alter table orders enable always trigger always;
  set session_replication_role = origin`;

test('missing rows are inserted, extra ones deleted, different ones replaced; triggers do not fire and foreign keys do not cascade', async () => {
  await db.targetClient.query(DAMAGE);
  const { report, step } = await verify(db, migration, input);
  expect(report.result).toBe('different');
  expect(report.differing.map(({ table }) => table).sort()).toEqual([
    ...['customers', 'keyless', 'named', 'numbers', 'orders', 'strange', 'via'].map(
      (name) => `public.${name}`,
    ),
  ]);
  const work = testWork();
  // One that fires in replica role, too. Only a lease disables it, not an attempt that may wake up after the cutover.
  await expect(repairRows(step, work, statesOf(db))).rejects.toMatchObject({
    code: 'Contention',
    message: expect.stringMatching(
      /^trigger always of the target's public\.orders would fire for repaired rows: nothing was written/,
    ) as unknown,
  });
  const { rows: before } = await db.targetClient.query(
    /* sql */ `select tgenabled from pg_trigger where tgname = 'always'`,
  );
  expect(before).toEqual([{ tgenabled: 'A' }]);
  await disableEnabledTriggers(db.targetClient, migration, 'all', {
    ...testWork(),
    ...{ replicaRole: true, purpose: 'stream' },
  });
  const repaired = await repairRows(step, work, statesOf(db));
  // 3 customers, 4 orders, 8 without a key, 3 strange ones, 2 numbers, 2 of names that JavaScript's objects have, 2 through the root.
  // What the attempt before had repaired already is not counted again.
  expect(repaired.rows).toBeLessThanOrEqual(24);
  const { rows: fired } = await db.targetClient.query(/* sql */ `select what from log`);
  expect(fired).toEqual([]);
  const again = await verify(db, migration, input);
  expect(again.report).toMatchObject({ result: 'equal', differing: [] });
  const { rows } = await db.targetClient.query<{ report: unknown }>(
    /* sql */ `select report from walferry.verification where id = $1`,
    [step.verification],
  );
  expect(rows[0]?.report).toMatchObject({ result: 'equal', differing: [] });
  const { rows: left } = await db.targetClient.query(
    /* sql */ `select from walferry.verification_difference`,
  );
  expect(left).toEqual([]);
  expect(JSON.stringify([repaired, work.beats, work.warnings])).not.toContain('name 7');
  await db.sourceClient.query(/* sql */ `drop table via`);
  await db.targetClient.query(/* sql */ `drop table via`);
  // Sequences are set at the cutover.
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(/* sql */ `select setval('orders_id_seq', 10000)`);
  }
  await expectSame(db);
});

test('a repair whose worker freezes with the control row locked lets the stream go on, and writes nothing when it wakes up', async () => {
  const { targetClient: target } = db;
  await target.query(/* sql */ `
    set session_replication_role = replica;
    update customers set name = 'frozen' where id = 20;
    set session_replication_role = origin`);
  const { report, step } = await verify(db, migration);
  expect(report.differing).toMatchObject([{ table: 'public.customers' }]);
  const words = [step, testRun(), [db.source, db.target]].map((one) => JSON.stringify(one));
  const child = spawn(process.execPath, ['--import', 'tsx', REPAIR, ...words], {
    env: { ...process.env, WALFERRY_FAILPOINT: 'repair-locked freeze' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  await until('the process to be frozen', () => stateOf(child.pid) === 'T');
  // A session like that of the next lease.
  await using lease = await connectTo(db.target);
  await takeEpoch(lease, migration);
  child.kill('SIGCONT');
  await ended;
  expect(said).toMatch(/^(Unreachable|Contention|CopyFailed)/);
  const { rows } = await target.query(/* sql */ `select name from customers where id = 20`);
  expect(rows).toEqual([{ name: 'frozen' }]);
  expect(await repairRows(step, testWork(), statesOf(db))).toEqual({ rows: 1, tables: 1 });
});

test('a row that cannot be made equal stays stored, and the others are repaired', async () => {
  const { targetClient: target } = db;
  await target.query(/* sql */ `
    alter table orders drop column twice;
    alter table orders add column twice int generated always as (case when id = 11 then 0 else n * 2 end) stored;
    update customers set name = 'wrong' where id = 12`);
  const { report, step } = await verify(db, migration);
  expect(report.result).toBe('different');
  // The first test has dropped it.
  expect(report.notCompared).toEqual(['public.via: is missing on the source']);
  await repairRows(step, testWork(), statesOf(db));
  const { rows } = await target.query<{ key: unknown; kind: string }>(
    /* sql */ `select key, kind from walferry.verification_difference where verification = $1`,
    [step.verification],
  );
  expect(rows).toEqual([{ key: { id: '11' }, kind: 'different' }]);
});

test('rows of a table whose index and statistics call a function with names that only the path of the application finds are repaired, with a key and without', async () => {
  await using pair = await freshPair();
  const tables = ['keyed', 'bare'];
  const ddl = /* sql */ `
    create function inner_f(text) returns text language sql immutable as 'select $1';
    create function f(text) returns text language sql immutable as 'select inner_f($1)';
    create table keyed (id int, kind regclass, v text, primary key (id, kind));
    create table bare (id int, kind regclass, v text); alter table bare replica identity full;`;
  const moved = await readyMigration(
    pair,
    /* sql */ `${ddl}
    ${tables.map((name) => `insert into ${name} select i, 'keyed', 'v ' || i from generate_series(1, 20) i;`).join('\n')}`,
    undefined,
    ddl,
  );
  for (const client of [pair.sourceClient, pair.targetClient]) {
    for (const name of tables) {
      await client.query(/* sql */ `create index on ${name} (f(v))`);
      await client.query(/* sql */ `create statistics ${name}_s on (f(v)) from ${name}`);
    }
  }
  for (const name of tables) {
    await pair.targetClient.query(/* sql */ `update ${name} set v = 'wrong' where id = 7`);
    await pair.targetClient.query(/* sql */ `update ${name} set kind = 'bare' where id = 8`);
    await pair.targetClient.query(/* sql */ `delete from ${name} where id = 9`);
  }
  const { report, step } = await verify(pair, moved);
  expect(report).toMatchObject({ result: 'different', notCompared: [] });
  expect(await repairRows(step, testWork(), statesOf(pair))).toMatchObject({ tables: 2 });
  expect((await verify(pair, moved)).report).toMatchObject({ result: 'equal' });
  // The comparison of the tests has no path either.
  for (const client of [pair.sourceClient, pair.targetClient]) {
    await client.query(/* sql */ `drop function f cascade`);
  }
  await expectSame(pair);
});
