/** A schema with one of (nearly) everything, and names that break naive parsing; for the tests of postgres/schema. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type pg from 'pg';
import { expect } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import type { FailureCode } from '../../../contract/failure-catalogue.ts';
import { parseInput } from '../../../contract/input.ts';
import { type MigrationInput } from '../../../contract/input-schema.ts';
import { slotName } from '../../../contract/slot-name.ts';
import { type Migration } from '../../../contract/migration.ts';
import type { Heartbeat, Work } from '../../../contract/work.ts';

/** Roles belong to a cluster and outlive the test's database: the first test creates them. */
const ROLES = /* sql */ `
do $$ begin
  begin create role fidelity_owner; exception when duplicate_object or unique_violation then null; end;
  begin create role fidelity_reader; exception when duplicate_object or unique_violation then null; end;
end $$;`;

export const FIDELITY_SCHEMA = /* sql */ `
create schema app authorization fidelity_owner; create schema "Odd; Schema";
create extension citext schema app;
create type app.mood as enum ('sad', 'it''s ok', 'a;b');
create domain app.positive as int check (value > 0);
create type app.pair as (a int, b text);
create collation app.coll from "C";
create text search configuration app.tsc (copy = simple);
create cast (app.pair as text) with inout as assignment;
create function app.touch() returns trigger language plpgsql as $$ begin new.note := 'x; y'; return new; end $$;
create function app.atomic(a int) returns int language sql begin atomic select a + 1; select a + 2; end;
create procedure app.proc() language plpgsql as $p$ begin
--
-- TOC entry 9 (class 1 OID 1)
-- Name: fake; Type: TABLE; Schema: app; Owner: postgres
--
perform 1;
end $p$;
create aggregate app.mysum(int) (sfunc = int4pl, stype = int, initcond = '0');
create operator app.=== (leftarg = int, rightarg = int, procedure = int4eq);

create table app.customer (
  id bigint generated always as identity primary key, name text not null, mail app.citext unique,
  m app.mood default 'sad', note text, p app.positive,
  total int generated always as (coalesce(p, 0) * 2) stored);
comment on table app.customer is E'line\\n-- TOC entry 3 (class 1 OID 2)\\nsemi; colon';
comment on column app.customer.name is 'n';
alter table app.customer add constraint old_rows_may_differ check (p < 1000) not valid;
create table app."order" (
  id serial primary key, customer bigint references app.customer on delete cascade deferrable initially deferred,
  "Weird.Col" text, placed timestamptz default now(), check (id > 0));
create index on app."order" (lower("Weird.Col")) where id > 3;
create index "idx; odd" on app."order" using btree (placed desc nulls last) include (customer);
create unique index nnd on app."order" (customer, placed) nulls not distinct;
create statistics app.st on customer, placed from app."order";
create table "Odd; Schema"."ta ""b.c" (a int primary key, b int references app."order" (id));
create table "Odd; Schema"."ta ""b.c d" (a int, b int);
create table "Odd; Schema"."emoji 😀; Type: TABLE; Schema: x" (a int unique deferrable initially deferred, "col "" x" text);
create table "Odd; Schema".customer (id int primary key);

create table app.measure (at date not null, v int, id int, note text, primary key (at, id)) partition by range (at);
create table app.measure_2020 partition of app.measure for values from ('2020-01-01') to ('2021-01-01');
create table app.measure_2021 (note text, v int, at date not null, id int not null);
alter table app.measure attach partition app.measure_2021 for values from ('2021-01-01') to ('2022-01-01');
create index on app.measure (v);
create table app.mref (id int, at date, mid int, foreign key (at, mid) references app.measure (at, id));
create table app.pfk (id int not null, customer bigint references app.customer) partition by hash (id);
create table app.pfk_0 partition of app.pfk for values with (modulus 2, remainder 0);
create table app.pfk_1 partition of app.pfk for values with (modulus 2, remainder 1);
create table app.self (id int primary key, parent int references app.self);
create table app.parent (a int not null check (a > 0)); create table app.child (b int) inherits (app.parent);
create table app.excl (r int4range, exclude using gist (r with &&));
create table app.pol (id int primary key, who text);
alter table app.pol enable row level security; alter table app.pol force row level security;
create policy p1 on app.pol for select using (who = current_user);
create table app.clus (a int primary key, b int); create index clus_b on app.clus (b); alter table app.clus cluster on clus_b;
create table app.nn (a int not null, b int); create unique index nn_a on app.nn (a);
alter table app.nn replica identity using index nn_a;
create table app.identfull (a int); alter table app.identfull replica identity full;
create table app.zero (); create table app.owned (id int); alter table app.owned owner to fidelity_owner;
alter table app."order" alter column "Weird.Col" set statistics 200;

create view app.v1 as select c.id, o.id as oid2 from app.customer c join app."order" o on o.customer = c.id;
create materialized view app.mv as select * from app.v1; create unique index mvidx on app.mv (id, oid2);
create materialized view app.mv2 as select count(*) from app.mv;
create materialized view app.mv_empty as select 1 as one with no data;
create view app.vgrp as select c.*, count(*) from app.customer c group by c.id;
create materialized view app.mv_late as select count(*) from app.vgrp;
create index mv_late_i on app.mv_late (count);
create rule r1 as on insert to app.self where new.id < 0 do instead nothing;
create trigger t1 before insert on app.customer for each row execute function app.touch();
create trigger t2 before insert on app.customer for each row execute function app.touch();
create trigger t3 before insert on app.customer for each row execute function app.touch();
create trigger t4 before insert on app.customer for each row execute function app.touch();
alter table app.customer enable always trigger t2;
alter table app.customer enable replica trigger t3;
alter table app.customer disable trigger t4;
create trigger tp before insert on app.measure for each row execute function app.touch();
alter table app.measure enable always trigger tp;
create function app.evt() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger "ev; odd" on ddl_command_end execute function app.evt();
create sequence app.free_seq as smallint increment -3 minvalue -100 maxvalue 100 start 7 cycle;
create publication pub for all tables;
grant select on app.customer to fidelity_reader; grant select (name) on app.customer to fidelity_reader;
grant usage on schema app to fidelity_reader;
alter default privileges in schema app grant select on tables to fidelity_reader;
`;

/** Creates the fidelity suite's roles on both sides. */
export async function buildRoles(source: pg.Client, target: pg.Client): Promise<void> {
  await target.query(ROLES);
  await source.query(ROLES);
}

/** Runs the fidelity suite's SQL on the source, and creates its roles on both sides. */
export async function buildFidelity(source: pg.Client, target: pg.Client): Promise<void> {
  await buildRoles(source, target);
  await source.query(FIDELITY_SCHEMA);
}

const ROWS = /* sql */ `
insert into app.customer (name, mail, p) select 'c' || i, 'm' || i, i from generate_series(1, 50) i;
insert into app."order" (customer, "Weird.Col", placed) select 1 + i % 50, 'w' || i, timestamptz '2024-01-01 UTC' + i * interval '1 hour' from generate_series(1, 200) i;
insert into app.measure (at, v, id) select date '2020-06-01' + i, i, i from generate_series(1, 400) i;
insert into app.mref select i, date '2020-06-01' + i, i from generate_series(1, 400) i;
insert into app.pfk select i, 1 + i % 50 from generate_series(1, 100) i;
`;

/** The same rows on both sides, as after a copy: triggers disabled, generated columns computed by each side. */
export async function copyFidelityRows(...clients: pg.Client[]): Promise<void> {
  for (const client of clients) {
    await client.query(/* sql */ `set session_replication_role = replica`);
    await client.query(ROWS);
    await client.query(/* sql */ `reset session_replication_role`);
  }
}

/** The schema of a database as pg_dump prints it, sorted by line: order of creation does not matter. */
export async function dumpLines(service: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    'pg_dump',
    [
      '--schema-only',
      '--no-publications',
      '--exclude-schema=walferry',
      `--dbname=service=${service}`,
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('--') && !/^\\(un)?restrict/.test(line))
    .sort();
}

/** A migration between the two databases, unlike that of any other test. */
export function migrationOf(pair: { source: string; target: string }): Migration {
  const id = `run-${pair.source}`;
  return { id, workflowId: 'schema', ...services(pair), slot: slotName('schema', id) };
}

function services({ source, target }: { source: string; target: string }) {
  return { source, target };
}

export function inputOf(
  pair: { source: string; target: string },
  more: Record<string, unknown> = {},
): MigrationInput {
  const parsed = parseInput({ ...services(pair), ...more });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

/** Work that collects what is reported to it. */
export function testWork(signal = new AbortController().signal): Work & {
  readonly beats: Heartbeat[];
  readonly notes: string[];
} {
  const beats: Heartbeat[] = [];
  const notes: string[] = [];
  const note = (message: string, fields?: Record<string, unknown>) => {
    notes.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  return {
    signal,
    beat: (details) => beats.push(details),
    log: { info: note, warn: note },
    beats,
    notes,
  };
}

/** The MigrationError that the work ends with; fails unless it has the code. */
export async function failure(work: Promise<unknown>, code: FailureCode): Promise<MigrationError> {
  const error: unknown = await work.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MigrationError)) throw error;
  expect({ code: error.code, message: error.message }).toMatchObject({ code });
  return error;
}
