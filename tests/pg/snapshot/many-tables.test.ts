/**
 * Many tables on servers with a small lock table that other sessions have nearly filled: a step that locks all tables in one
 * transaction fails here with 53200, as it does with a hundred thousand tables on a server with default settings.
 */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { type MigrationInput } from '../../../contract/input-schema.ts';
import type { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { compare } from '../../../scripts/compare/databases.ts';
import type { Side } from '../../../scripts/local/cluster/settings.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { undoSchema } from '../../../postgres/schema/undo-schema.ts';
import { enableTriggers, disableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { Journey } from '../../support/journey.ts';
import { testWork } from '../../support/stream.ts';
import { testRun } from '../../support/run.ts';
import { serverOf } from '../../support/versions.ts';

const TABLES = 500;
/** Locks that all sessions together can take, in addition to those of the server's other users. */
const FREE_LOCKS = 400;
const SMALL = { max_locks_per_transaction: '10', max_connections: '30' };
/** A heartbeat times out after 10 s. Beats come every second; this leaves a busy machine some room. */
const SILENCE_SECONDS = 6;
/** Limit for a step's result or beat. Findings name some tables; with 100,000 tables, a name for each would be too much for a history. */
const PAYLOAD_BYTES = 8_000;

const servers: Partial<Record<Side, PostgresServer & AsyncDisposable>> = {};

async function smallServer(side: Side): Promise<void> {
  servers[side] = await serverOf(
    side,
    { folder: testRun().source.programs, version: 'many' },
    SMALL,
  );
}

beforeAll(async () => {
  await Promise.all([smallServer('source'), smallServer('target')]);
});
afterAll(async () => {
  await Promise.all(Object.values(servers).map((server) => server[Symbol.asyncDispose]()));
});

/** Fills the server's lock table except for `free` entries, for as long as the session lives. */
async function fillLockTable(service: string, free: number): Promise<AsyncDisposable> {
  const client = await connectTo(service);
  await client
    .query(
      /* sql */ `
    do $$
    begin
      for i in 1..1000000 loop perform pg_advisory_lock(i); end loop;
    exception when out_of_memory then null;
    end $$`,
    )
    .catch(() => undefined);
  const { rows } = await client.query<{ held: number }>(/* sql */ `
    select count(*)::int as held from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`);
  const held = rows[0]?.held ?? 0;
  expect(held).toBeGreaterThan(free);
  await client.query(
    /* sql */ `select count(pg_advisory_unlock(i)) from generate_series(1, $1) i`,
    [free],
  );
  return client;
}

/** What a cutover restores: triggers in their state on the source, and checks that waited for it. */
async function switchedOn(target: pg.ClientBase) {
  const { rows } = await target.query<{ triggers: number; checks: number }>(/* sql */ `
    select (select count(*)::int from pg_trigger where tgenabled = 'A' and tgname like 'always_%') as triggers,
           (select count(*)::int from pg_constraint where contype = 'c' and conname like 'late_%') as checks`);
  return rows[0];
}

function inputOf(source: string, target: string): MigrationInput {
  const parsed = parseInput({ source, target });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

test(
  'more tables and sequences than the lock tables of both servers hold are migrated, and no step is silent until its heartbeat times out',
  { timeout: 240_000 },
  async () => {
    const { source, target } = servers;
    if (!source || !target) throw new Error('no servers');
    await using db = await freshPair({ source, target });
    await db.sourceClient.query(/* sql */ `
      create function same() returns trigger language plpgsql as 'begin return new; end'`);
    await db.sourceClient.query(/* sql */ `
    do $$
    begin
      for i in 1..${TABLES} loop
        execute format('create table t_%1$s (id bigserial primary key, v text constraint late_%1$s check (v <> current_user))', i);
        execute format('create trigger always_%1$s before insert on t_%1$s for each row execute function same()', i);
        execute format('alter table t_%1$s enable always trigger always_%1$s', i);
        execute format('insert into t_%s (v) values (%L)', i, i);
        if i % 100 = 0 then commit; end if;
      end loop;
    end $$`);
    await using _here = await fillLockTable(db.source, FREE_LOCKS);
    await using _there = await fillLockTable(db.target, FREE_LOCKS);
    const journey = new Journey(inputOf(db.source, db.target));
    await journey.prepare();
    // One transaction for each table: combined into one on the target, they would lock all tables.
    await db.sourceClient.query(/* sql */ `
    do $$ begin for i in 1..${TABLES} loop
      execute format('update t_%s set v = ''changed''', i); commit;
    end loop; end $$`);
    const { sequences, later } = await journey.cutOver();
    expect({ sequences, later }).toEqual({ sequences: TABLES, later: [] });
    const awake = { triggers: TABLES, checks: TABLES };
    expect(await switchedOn(db.targetClient)).toEqual(awake);
    // Undone, and cut over again.
    await journey.step('disableTriggers', (work) => disableTriggers(journey.migration, work));
    expect(await switchedOn(db.targetClient)).toEqual({ triggers: 0, checks: 0 });
    await journey.step('enableTriggers again', (work) => enableTriggers(journey.migration, work));
    expect(await switchedOn(db.targetClient)).toEqual(awake);
    await expectEqual(db.sourceClient, db.targetClient);
    const compared = await compare({
      ...{ source: db.source, target: db.target, include: [], exclude: [] },
      ...{ sequences: true, md5: false, show: 1 },
    });
    expect(compared).toMatchObject({ equal: true, sequences: TABLES });
    await journey.end();
    await journey.end();
    expect(journey.measured.filter(({ silence }) => silence > SILENCE_SECONDS)).toEqual([]);
    expect(journey.measured.filter(({ payload }) => payload > PAYLOAD_BYTES)).toEqual([]);
  },
);

test('triggers of more of the operator’s tables than the lock table holds are disabled in batches; an interrupted step continues, and the undo restores all of them', async () => {
  const { source, target } = servers;
  if (!source || !target) throw new Error('no servers');
  await using db = await freshPair({ source, target });
  const make = /* sql */ `
    do $$ begin for i in 1..${TABLES} loop
      execute format('create table public.t_%s (id int primary key)', i);
      if i % 100 = 0 then commit; end if;
    end loop; end $$`;
  await db.sourceClient.query(make);
  await db.targetClient.query(make);
  await db.targetClient.query(/* sql */ `
    create function public.same() returns trigger language plpgsql as 'begin return new; end'`);
  await db.targetClient.query(/* sql */ `
    do $$ begin for i in 1..${TABLES} loop
      execute format('create trigger always_%1$s before insert on public.t_%1$s for each row execute function public.same()', i);
      execute format('alter table public.t_%1$s enable always trigger always_%1$s', i);
      if i % 50 = 0 then commit; end if;
    end loop; end $$`);
  await using _there = await fillLockTable(db.target, FREE_LOCKS);
  const input = inputOf(db.source, db.target);
  const { migration } = new Journey(input);
  const awake = async () => (await switchedOn(db.targetClient))?.triggers;
  const work = testWork();
  const cutShort = copySchema(migration, input, {
    ...work,
    beat: ({ step }) => {
      if (step === 'disabling triggers') work.abort();
    },
  });
  await expect(cutShort).rejects.toThrow('stopped by the test');
  const left = await awake();
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(TABLES);
  expect(await copySchema(migration, input, testWork())).toMatchObject({ created: false });
  expect(await awake()).toBe(0);
  await undoSchema(migration);
  expect(await awake()).toBe(TABLES);
}, 240_000);
