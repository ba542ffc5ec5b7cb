/** Check constraints that depend on more than their row stop neither the copy nor the stream, and exist after the cutover. */
import { expect, it, test } from 'vitest';
import { findOther } from '../../../scripts/local/setup/versions.ts';

import { checkLines } from '../../../postgres/cutover/other-differences.ts';
import { definitionLines } from '../../support/definition-lines.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { readDoubtfulChecks } from '../../../postgres/archive/doubtful-check.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers, disableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { addService, connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { findingsOf, only } from '../../support/preflight.ts';
import { serverOf } from '../../support/versions.ts';
import { dumpLines, failure, inputOf, migrationOf, testWork } from './schema-fidelity.ts';
import { storeChecks } from '../../../postgres/store/check-entry.ts';

const on18 = findOther(18);

const SCHEMA = /* sql */ `
  create schema app; set search_path = app, public;
  create table z_word (val text primary key);
  create function qualified(v text) returns boolean language sql stable as 'select exists (select from app.z_word d where d.val = v)';
  create function by_path(v text) returns boolean language sql stable as 'select exists (select from z_word d where d.val = v)';
  create function promised(v text) returns boolean language plpgsql immutable as $$ begin
    return exists (select 1 from /* the list */ app.z_word d where d.val = v); end $$;
  create function indirect(v text) returns boolean language sql immutable as 'select app.promised(v)';
  create function pure(v text) returns boolean language plpgsql immutable as
    $$ declare n int; begin n := length(trim(both ' ' from v)); return n > 0 and v is distinct from 'from z_word'; end $$;
  create function atomic(v text) returns boolean language sql immutable begin atomic select exists (select from app.z_word d where d.val = v); end;
  create domain known as text constraint short check (length(value) < 9) constraint "Is ""known""" check (qualified(value));
  comment on constraint "Is ""known""" on domain known is 'one of the words';
  create table a_entry (
    id int primary key, val text not null, "from" text, at timestamptz, word known,
    constraint "odd, name" check (qualified(val) or val = ') NOT VALID, "'),
    constraint a_path check (by_path(val)), constraint a_promised check (promised(val)),
    constraint a_indirect check (indirect(val)), constraint a_atomic check (atomic(val)),
    constraint a_past check (at <= now()), constraint a_day check (at::date <= current_date),
    constraint a_pure check (pure(val)), constraint a_row check (id > 0));
  comment on constraint a_promised on a_entry is 'promised; not kept';
  alter table a_entry add constraint a_later check (qualified("from")) not valid;
  create table parent (id int, val text constraint p_check check (qualified(val)));
  create table child (constraint c_check check (by_path(val)) no inherit) inherits (parent);
  alter table child add constraint p_check check (qualified(val));
  create table part (id int, val text, constraint part_check check (qualified(val))) partition by range (id);
  create table part_1 partition of part for values from (0) to (10);
  create table part_2 (id int, val text, constraint part_check check (qualified(val)), constraint own check (qualified(val)));
  alter table part attach partition part_2 for values from (10) to (20);
  create table only_check (constraint alone check (current_user <> 'no_one'));`;

/** The deferred constraints, by the object that they belong to. */
const LATE = [
  'CHECK app.a_entry.a_atomic',
  'CHECK app.a_entry.a_day',
  'CHECK app.a_entry.a_indirect',
  'CHECK app.a_entry.a_later',
  'CHECK app.a_entry.a_past',
  'CHECK app.a_entry.a_path',
  'CHECK app.a_entry.a_promised',
  'CHECK app.a_entry.odd, name',
  'CHECK app.child.c_check',
  'CHECK app.child.p_check',
  'CHECK app.known.Is "known"',
  'CHECK app.only_check.alone',
  'CHECK app.parent.p_check',
  'CHECK app.part.part_check',
  'CHECK app.part_1.part_check',
  'CHECK app.part_2.own',
  'CHECK app.part_2.part_check',
];

/** Rows in an order that would violate each of the checks, followed by the rows that the checks read. */
const ROWS = /* sql */ `
  insert into app.a_entry values (1, 'x', 'x', now(), 'x');
  insert into app.parent values (1, 'x'); insert into app.child values (2, 'x');
  insert into app.part values (1, 'x'), (11, 'x'); insert into app.z_word values ('x')`;

async function prepared(db: FreshPair, rows = ROWS) {
  await db.sourceClient.query(SCHEMA);
  const migration = migrationOf(db);
  const report = await copySchema(migration, inputOf(db), testWork());
  await db.targetClient.query(rows);
  await buildIndexes(migration, inputOf(db), testWork());
  return { migration, report };
}

/** Definitions of all checks, with whether they are valid. */
async function checks(db: FreshPair, side: 'source' | 'target'): Promise<string[]> {
  const client = side === 'source' ? db.sourceClient : db.targetClient;
  await client.query(`set search_path = ''`);
  const { rows } = await client.query<{ line: string }>(/* sql */ `
    select coalesce(k.conrelid::regclass::text, '') || coalesce(nullif(k.contypid, 0)::regtype::text, '') || ' ' || k.conname || ' '
           || pg_get_constraintdef(k.oid) || ' local ' || k.conislocal || ' parents ' || k.coninhcount || ' '
           || coalesce(obj_description(k.oid, 'pg_constraint'), '') as line
      from pg_constraint k join pg_namespace n on n.oid = k.connamespace
     where k.contype = 'c' and n.nspname = 'app' order by 1`);
  return rows.map(({ line }) => line);
}

async function checkNames(db: FreshPair): Promise<string[]> {
  return (await checks(db, 'target')).map((line) => line.split(' ')[1] ?? '').sort();
}

test('preflight names deferred checks, the cutover adds them and validates those that are valid on the source', async () => {
  await using db = await freshPair();
  // The search path on which the application's functions find their table.
  await db.targetClient.query(`alter database ${db.target} set search_path = app, public`);
  const { migration, report } = await prepared(db);
  expect([...(report.leftOut?.unvalidated ?? [])].sort()).toEqual(LATE);
  const early = (await checks(db, 'target')).map((line) => line.split(' ')[1]);
  expect(early.sort()).toEqual(['a_pure', 'a_row', 'short']);
  // The cutover reports differences: not these checks, which are added after the comparison.
  expect(await definitionLines(migration, inputOf(db))).toEqual([]);
  await enableTriggers(migration);
  expect(await checkLines(migration)).toEqual([]);
  expect(await checks(db, 'target')).toEqual(await checks(db, 'source'));
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
  await expect(
    db.targetClient.query(`insert into app.a_entry values (2, 'unknown')`),
  ).rejects.toMatchObject({ code: '23514' });
});

test('an undone cutover removes deferred checks, and the next one adds them', async () => {
  await using db = await freshPair();
  const { migration } = await prepared(db);
  const before = await checks(db, 'target');
  await enableTriggers(migration);
  await disableTriggers(migration);
  expect(await checks(db, 'target')).toEqual(before);
  await db.targetClient.query(
    `insert into app.parent values (3, 'y'); insert into app.part values (12, 'y')`,
  );
  await enableTriggers(migration);
  await enableTriggers(migration);
  const now = await checks(db, 'target');
  expect(now.length).toBe((await checks(db, 'source')).length);
  // Rows violate these, and by_path finds no table on our path: they stay NOT VALID and stop nothing.
  const open = now
    .filter((line) => line.includes(' NOT VALID local '))
    .map((line) => line.split(' ')[1]);
  expect(open.sort()).toEqual([
    'a_later',
    'a_path',
    'c_check',
    'own',
    'p_check',
    'part_check',
    'part_check',
  ]);
});

test('a check that was added but not validated before a kill is validated by the next attempt', async () => {
  await using db = await freshPair();
  const { migration } = await prepared(db);
  await enableTriggers(migration);
  // As the first of its transactions left it.
  await db.targetClient.query(/* sql */ `
    alter table app.a_entry drop constraint a_promised;
    alter table app.a_entry add constraint a_promised check (app.promised(val)) not valid`);
  await enableTriggers(migration);
  const { rows } = await db.targetClient.query(
    /* sql */ `select convalidated from pg_constraint where conname = 'a_promised'`,
  );
  expect(rows).toEqual([{ convalidated: true }]);
});

test('a deferred check is added in its current form on the source; one whose table, column or constraint is gone is named and never stops a cutover', async () => {
  await using db = await freshPair();
  const { migration } = await prepared(db);
  // What an operator runs on both sides while changes are streamed.
  const both = /* sql */ `
    drop table app.only_check; drop table app.part_1; alter table app.parent rename to parents;
    alter table app.child set schema public; alter table app.a_entry drop column "from"`;
  await db.sourceClient.query(/* sql */ `${both};
    alter table app.a_entry drop constraint a_past, drop constraint a_day, drop constraint a_path,
      add constraint a_path check (app.by_path(val) or id < 100);
    alter table app.a_entry alter at type text using 'long ago'`);
  await db.targetClient.query(both);
  // On the target only: one check exists already, one names a missing function.
  await db.targetClient.query(/* sql */ `
    alter table app.a_entry add constraint a_atomic check (app.atomic(val)) not valid;
    drop function app.indirect(text)`);
  await enableTriggers(migration);
  const now = await checks(db, 'target');
  const named = (constraint: string) => now.filter((line) => line.split(' ')[1] === constraint);
  expect(named('a_past')).toEqual([]);
  expect(named('a_day')).toEqual([]);
  expect(named('a_path').join()).toContain('id < 100');
  expect(named('a_promised').join()).toContain('promised; not kept');
  const differences = await checkLines(migration);
  expect(differences).toEqual([
    'app.a_entry: constraint a_indirect is on the source only',
    'app.parents: constraint p_check is on the source only',
    'public.child: constraint c_check is on the source only',
    'public.child: constraint p_check is on the source only',
  ]);
  // A check that existed before is not ours to drop.
  await disableTriggers(migration);
  expect(await checkNames(db)).toEqual(['a_atomic', 'a_pure', 'a_row', 'short']);
  await enableTriggers(migration);
  expect(await checks(db, 'target')).toEqual(now);
  expect(await checkLines(migration)).toEqual(differences);
});

test('undoing a cutover continues when tables of added checks are gone', async () => {
  await using db = await freshPair();
  const { migration } = await prepared(db);
  await enableTriggers(migration);
  await db.targetClient.query(`drop table app.only_check; alter domain app.known rename to words`);
  await disableTriggers(migration);
  const { rows } = await db.targetClient.query(
    `select from walferry.schema_entry where phase = 'checks' and done_at is not null`,
  );
  expect(rows).toEqual([]);
});

test('rows that violate a NOT VALID check are resynced and updated until the cutover, which adds the check as NOT VALID', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create schema app; create domain app.code as text;
    create table app.t (id int primary key, v app.code, n int);
    create table app.part (id int primary key, n int) partition by range (id);
    create table app.part_1 partition of app.part for values from (0) to (10);
    alter domain app.code add constraint good check (value <> 'bad') not valid;
    alter table app.t add constraint "Small; n" check (n < 10) not valid;
    comment on constraint "Small; n" on app.t is 'NOT VALID;';
    alter table app.part add constraint part_n check (n < 10) not valid;
    alter table app.part_1 add constraint own check (n < 9) not valid`);
  const found = only(await findingsOf(db), 'check-deferred');
  const migration = migrationOf(db);
  const report = await copySchema(migration, inputOf(db), testWork());
  const rows = /* sql */ `insert into app.t values (1, 'bad', 11); insert into app.part values (1, 11)`;
  await db.targetClient.query(rows);
  await buildIndexes(migration, inputOf(db), testWork());
  // What the apply does (it assigns all columns), and a resync.
  await db.targetClient.query(
    `update app.t set v = 'bad', n = 12; update app.part set n = 12; truncate app.t, app.part; ${rows}`,
  );
  const late = ['app.code.good', 'app.part.part_n', 'app.part_1.own', 'app.t.Small; n'];
  const named = late.map((name) => `CHECK ${name}`);
  expect([...(report.leftOut?.unvalidated ?? [])].sort()).toEqual(named);
  expect(await definitionLines(migration, inputOf(db))).toEqual([]);
  await enableTriggers(migration);
  expect(await checkLines(migration)).toEqual([]);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
  for (const name of named) expect(found.message).toContain(`${name} (NOT VALID)`);
});

it.skipIf(!on18)(
  'a NOT NULL that is NOT VALID is deferred like a check; what is NOT ENFORCED is not',
  async () => {
    if (!on18) return;
    await using server = await serverOf('target', on18);
    await using db = await freshPair({ target: server });
    const client = db.targetClient;
    await client.query(`create table public.t (id int, n int)`);
    await db.sourceClient.query(`create table public.t (id int, n int)`);
    const migration = migrationOf(db);
    await copySchema(migration, inputOf(db), testWork());
    const sql = `ALTER TABLE public.t ADD CONSTRAINT t_n NOT NULL n NOT VALID;`;
    await client.query(`insert into public.t values (1, null), (2, -1); begin; ${sql}`);
    await client.query(`alter table public.t add constraint never check (n > 0) not enforced`);
    const [check, ...more] = await readDoubtfulChecks(client);
    await client.query(`rollback`);
    expect([check, more]).toMatchObject([{ constraint: 't_n', functions: ['NOT VALID'] }, []]);
    if (!check) return;
    await client.query(`create schema if not exists walferry`);
    await storeChecks(client, migration.id, 0, [{ check, sql, valid: false }]);
    expect(await checkLines(migration)).toEqual([]);
    const alone = `gone_${db.source}`;
    addService(alone, { host: '127.0.0.1', port: '1', dbname: 'x', user: 'y' });
    await enableTriggers({ ...migration, source: alone }, {}, 'the source if it is there');
    expect((await readDoubtfulChecks(client)).map(({ constraint }) => constraint)).toEqual(['t_n']);
    await disableTriggers(migration);
    expect(await readDoubtfulChecks(client)).toEqual([]);
  },
);

test('an abort adds deferred checks even if the source is gone; a cutover waits for the source', async () => {
  await using db = await freshPair();
  const { migration } = await prepared(db);
  const alone = `gone_${db.source}`;
  addService(alone, { host: '127.0.0.1', port: '1', dbname: 'x', user: 'y' });
  await failure(enableTriggers({ ...migration, source: alone }), 'Unreachable');
  expect((await checkNames(db)).length).toBe(3);
  await enableTriggers({ ...migration, source: alone }, {}, 'the source if it is there');
  expect((await checks(db, 'target')).length).toBe((await checks(db, 'source')).length);
});

test('preflight names deferred checks with the functions that defer them', async () => {
  await using db = await freshPair();
  await db.sourceClient
    .query(`${SCHEMA}; alter table app.parent add primary key (id); alter table app.child add primary key (id);
    alter table app.part add primary key (id); alter table app.only_check replica identity full`);
  const findings = await findingsOf(db);
  expect(findings.filter(({ level }) => level === 'error')).toEqual([]);
  const found = only(findings, 'check-deferred');
  expect(found.level).toBe('warning');
  for (const name of LATE) expect(found.message).toContain(`${name} (`);
  expect(found.message).toContain('a_past (now)');
  expect(found.message).toContain('a_indirect (indirect)');
  expect(found.message).not.toContain('a_pure');
  await using target = await connectTo(db.target);
  expect((await target.query(`select from pg_namespace where nspname = 'app'`)).rowCount).toBe(0);
});
