/** A verification under the guard of the copy, and within its slice. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { UNLIMITED } from '../../../contract/limits.ts';
import { storeLimits } from '../../../postgres/store/throttle.ts';
import { comparePieces } from '../../../postgres/verification/piece-run.ts';
import { concludeVerification } from '../../../postgres/verification/conclusion.ts';
import { repairRows } from '../../../postgres/verification/row-repair.ts';
import { planVerification } from '../../../postgres/verification/verification-plan.ts';
import { runVerification } from '../../../postgres/verification/whole-verification.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { statesOf } from '../../support/held-states.ts';
import { testWork, type TestWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { readyMigration, verificationOf } from '../../support/verifying.ts';

const TABLES = 6;
const BIG = /* sql */ `
  create table big (id int primary key, filler text not null);
  insert into big select i, repeat(md5(i::text), 8) from generate_series(1, 24000) i;`;
const SMALL = Array.from(
  { length: TABLES },
  (_, n) => /* sql */ `create table small_${n} (id int primary key, filler text not null);
    insert into small_${n} select i, repeat(md5(i::text), 8) from generate_series(1, 300) i;`,
).join('\n');

let db: FreshPair;
let migration: Migration;
let version = 0;
beforeAll(async () => {
  db = await freshPair();
  migration = await readyMigration(db, BIG + SMALL);
});
afterAll(() => db[Symbol.asyncDispose]());

const limitTo = (copyBytesPerSecond: number): Promise<unknown> =>
  storeLimits(db.targetClient, migration, {
    version: (version += 1),
    limits: { ...UNLIMITED, copyBytesPerSecond },
  });

const waiting = ({ beats }: TestWork): boolean =>
  /the guard of the source: query [1-9]/.test(String(beats.at(-1)?.['waitingFor'] ?? ''));

async function done(): Promise<number> {
  const { rows } = await db.targetClient.query<{ done: number }>(
    /* sql */ `select count(done_at)::int as done from walferry.verification_piece`,
  );
  return rows[0]?.done ?? 0;
}

// What the guard reacts to is real: sessions of the application that are at work.
const GUARD = {
  query: {
    ceiling: 1,
    sql: /* sql */ `select count(*) from pg_catalog.pg_stat_activity
      where datname = current_database() and application_name = 'shop' and state = 'active'`,
  },
};

/** @returns ends the application's work. */
async function shopAtWork(): Promise<() => Promise<void>> {
  const busy = await Promise.all([1, 2, 3].map(() => connectTo(db.source)));
  const asleep = busy.map(async (client) => {
    await client.query(/* sql */ `set application_name = 'shop'`);
    await client.query(/* sql */ `select pg_sleep(600)`).catch(() => undefined);
  });
  return async () => {
    await db.sourceClient.query(
      /* sql */ `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'shop'`,
    );
    await Promise.all(asleep);
  };
}

/** Held by the guard alone, for a while. */
async function untilHeld(work: TestWork): Promise<void> {
  await until('the guard to hold', () => waiting(work));
  await limitTo(0);
  const beats = work.beats.length;
  await until('more heartbeats', () => work.beats.length > beats + 5);
  expect(waiting(work)).toBe(true);
}

test('while the source is busier than the guard allows, a verification compares nothing, and goes on when it is not', async () => {
  // So that it lasts until the application is busy.
  await limitTo(200_000);
  const step = verificationOf(db, migration, { guard: GUARD });
  const work = testWork();
  const runs: TestWork[] = [];
  const verifying = runVerification(step, work, statesOf(db), (run) => {
    const own = testWork();
    runs.push(own);
    return comparePieces({ ...step, run }, own);
  });
  await until('some pieces', async () => (await done()) > 0);
  const calm = await shopAtWork();
  await until('every run to be held', () => runs.length > 1 && runs.every(waiting));
  await until('a heartbeat that says so', () =>
    work.beats.some((beat) => beat['guardHolding'] === true),
  );
  const pieces = await done();
  const [first] = runs;
  if (!first) return expect.fail('no run');
  await untilHeld(first);
  expect(await done()).toBe(pieces);
  await calm();
  expect(await verifying).toMatchObject({ result: 'equal', tables: 1 + TABLES });
});

test('while the source is busier than the guard allows, no further table is searched for rows that differ, and none is repaired', async () => {
  for (let n = 0; n < TABLES; n += 1) {
    await db.targetClient.query(/* sql */ `update small_${n} set filler = 'wrong' where id = 7`);
  }
  const step = verificationOf(db, migration, { guard: GUARD });
  const states = statesOf(db);
  await states.hold(migration, testWork(), async () => {
    const { runs } = await planVerification(step, testWork(), states);
    for (const run of runs) await comparePieces({ ...step, run }, testWork());
  });
  const wrong = async (): Promise<number> => {
    const counts = Array.from({ length: TABLES }, async (_, n) => {
      const { rowCount } = await db.targetClient.query(
        /* sql */ `select from small_${n} where filler = 'wrong'`,
      );
      return rowCount ?? 0;
    });
    return (await Promise.all(counts)).reduce((sum, one) => sum + one, 0);
  };
  // A table takes two seconds, so that the guard has measured before all are read.
  await limitTo(50_000);
  let calm = await shopAtWork();
  const naming = testWork();
  const concluding = concludeVerification(step, naming, states);
  await untilHeld(naming);
  // While an anchor is held, vacuum removes nothing.
  expect(await states.live(db.targetClient, migration)).toBeNull();
  await calm();
  const report = await concluding;
  expect(report).toMatchObject({ result: 'different', notCompared: [] });
  expect(report.differing).toHaveLength(TABLES);
  await limitTo(50_000);
  calm = await shopAtWork();
  const repairing = testWork();
  const repaired = repairRows(step, repairing, states);
  await untilHeld(repairing);
  expect(await states.live(db.targetClient, migration)).toBeNull();
  expect(await wrong()).toBeGreaterThan(0);
  await calm();
  expect(await repaired).toEqual({ rows: TABLES, tables: TABLES });
  expect(await wrong()).toBe(0);
});

test('a piece that is too slow for its slice is given up, and holds its snapshot no longer', async () => {
  await limitTo(50_000);
  const step = verificationOf(db, migration, { tables: { include: ['public.small_*'] } });
  const states = statesOf(db);
  await states.hold(migration, testWork(), async () => {
    const { runs } = await planVerification(step, testWork(), states);
    const [run] = runs;
    if (!run) return expect.fail('no run');
    const began = performance.now();
    // A twentieth of a minute: it has begun when the plan recorded the state.
    const report = await comparePieces({ ...step, run, sliceMinutes: 0.05 }, testWork());
    expect(report.pieces).toBe(0);
    const { rows } = await db.sourceClient.query(/* sql */ `
      select from pg_stat_activity where datname = current_database()
         and application_name = 'walferry verify' and backend_xmin is not null`);
    expect(rows).toEqual([]);
    // The whole piece takes at least twice as long.
    expect(performance.now() - began).toBeLessThan((1000 * report.bytes) / 25_000);
  });
  await limitTo(0);
  // Of the other table it says that it is not selected.
  const report = await runVerification(step, testWork(), states);
  expect(report).toMatchObject({ differing: [], tables: TABLES });
});
