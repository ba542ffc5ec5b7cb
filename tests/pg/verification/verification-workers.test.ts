/** Workers of a verification: kills, two attempts at one piece, and attempts that wake up late count nothing twice. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { HOLD_LOCK } from '../../../postgres/snapshot/test-hold.ts';
import { comparePieces } from '../../../postgres/verification/piece-run.ts';
import { planVerification } from '../../../postgres/verification/verification-plan.ts';
import { runVerification } from '../../../postgres/verification/whole-verification.ts';
import { concludeVerification } from '../../../postgres/verification/conclusion.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { statesOf } from '../../support/held-states.ts';
import { testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { readyMigration, verificationOf } from '../../support/verifying.ts';

const ROWS = 60_000;
const DDL = /* sql */ `create table big (id int primary key, filler text)`;

const SCRIPT = path.join(import.meta.dirname, '../../support/compare-process.ts');

let db: FreshPair;
let migration: Migration;

beforeAll(async () => {
  db = await freshPair();
  migration = await readyMigration(
    db,
    `${DDL}; insert into big select i, repeat(md5(i::text), 3) from generate_series(1, ${ROWS}) i`,
    undefined,
    DDL,
  );
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
});

beforeEach(() => {
  delete process.env['WALFERRY_HOLDPOINT'];
});

/** A run in a process of its own, which is held before its first mark. */
function startHeld(step: object) {
  const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT, JSON.stringify(step)], {
    env: { ...process.env, WALFERRY_HOLDPOINT: 'before-mark' },
    stdio: 'inherit',
  });
  return { child, ended: new Promise<void>((resolve) => child.once('exit', () => resolve())) };
}

const pieces = async (): Promise<{ all: number; done: number }> => {
  const { rows } = await db.targetClient.query<{ all: number; done: number }>(
    /* sql */ `select count(*)::int as all, count(done_at)::int as done from walferry.verification_piece`,
  );
  return rows[0] ?? { all: 0, done: 0 };
};

/** Waits for a session of the target that asks for the hold point's lock, after it has read a piece. */
async function untilHeld(): Promise<void> {
  await until('a run to be held before its mark', async () => {
    const { rows } = await db.targetClient.query(
      /* sql */ `select from pg_stat_activity where application_name = 'walferry verify' and query like '%pg_try_advisory_lock_shared%' and pid <> pg_backend_pid()`,
    );
    return rows.length > 0;
  });
}

async function reset(): Promise<void> {
  await db.targetClient.query(/* sql */ `delete from walferry.verification`);
}

test('pieces whose worker is killed before their mark are read again, and no row counts twice', async () => {
  await reset();
  const step = verificationOf(db, migration);
  const states = statesOf(db);
  await using lock = await connectTo(db.target);
  await states.hold(migration, testWork(), async () => {
    const plan = await planVerification(step, testWork(), states);
    expect(plan.pieces).toBeGreaterThan(10);
    await lock.query(/* sql */ `select pg_advisory_lock(${HOLD_LOCK})`);
    const [run] = plan.runs;
    const held = startHeld({ ...step, run });
    await untilHeld();
    held.child.kill('SIGKILL');
    await held.ended;
    expect((await pieces()).done).toBe(0);
    await lock.query(/* sql */ `select pg_advisory_unlock(${HOLD_LOCK})`);
    const before = await planVerification(step, testWork(), states);
    expect(before.runs.length).toBeGreaterThan(0);
    // Two workers share what is left.
    const workers = [0, 1].map(async (half) => {
      for (const one of before.runs.filter((_, at) => at % 2 === half)) {
        await comparePieces({ ...step, run: one }, testWork());
      }
    });
    await Promise.all(workers);
  });
  const report = await concludeVerification(step, testWork(), states);
  expect(report).toMatchObject({ result: 'equal', rows: ROWS, tables: 1 });
});

test('an attempt that wakes up after its pieces were compared, and one of an earlier anchor, write nothing', async () => {
  await reset();
  const step = verificationOf(db, migration);
  const states = statesOf(db);
  await using lock = await connectTo(db.target);
  await lock.query(/* sql */ `select pg_advisory_lock(${HOLD_LOCK})`);
  const late = await states.hold(migration, testWork(), async () => {
    const plan = await planVerification(step, testWork(), states);
    const [run] = plan.runs;
    const held = startHeld({ ...step, run });
    await untilHeld();
    // The same run in this process is not held.
    if (run) await comparePieces({ ...step, run }, testWork());
    return held;
  });
  // The anchor is over with pieces left: the table begins again under the next one.
  await states.hold(migration, testWork(), async () => {
    const plan = await planVerification(step, testWork(), states);
    expect((await pieces()).done).toBe(0);
    await lock.query(/* sql */ `select pg_advisory_unlock(${HOLD_LOCK})`);
    await late.ended;
    expect((await pieces()).done).toBe(0);
    for (const run of plan.runs) {
      await Promise.all([1, 2].map(() => comparePieces({ ...step, run }, testWork())));
    }
  });
  const report = await concludeVerification(step, testWork(), states);
  expect(report).toMatchObject({ result: 'equal', rows: ROWS, anchors: 2 });
});

test('a table that no anchor finishes is named after some tries, and the verification ends', async () => {
  await reset();
  const step = verificationOf(db, migration);
  const states = statesOf(db);
  const work = testWork();
  await using locker = await connectTo(db.source);
  // Each state is followed by a rewrite.
  states.onHold = async () => void (await locker.query(/* sql */ `vacuum full big`));
  const report = await runVerification(step, work, states);
  expect(report.result).toBe('incomplete');
  expect(report.notCompared).toHaveLength(1);
  expect(report.notCompared[0]).toContain('public.big: was not finished at any of 5 anchors');
});

test('bytes per second of the copy limit a verification, too', async () => {
  await reset();
  const { storeLimits } = await import('../../../postgres/store/throttle.ts');
  const { UNLIMITED } = await import('../../../contract/limits.ts');
  const rate = 4_000_000;
  const limits = { ...UNLIMITED, copyBytesPerSecond: rate };
  await storeLimits(db.targetClient, migration, { version: 1, limits });
  const step = verificationOf(db, migration);
  const work = testWork();
  const began = performance.now();
  const report = await runVerification(step, work, statesOf(db));
  const seconds = (performance.now() - began) / 1000;
  await storeLimits(db.targetClient, migration, { version: 2, limits: UNLIMITED });
  expect(report.result).toBe('equal');
  // Both sides are read; the last piece of each run need not be waited for.
  expect(seconds).toBeGreaterThan((report.bytes * 2 * 0.6) / rate);
  expect(work.beats.some((beat) => /bytes\/s/.test(String(beat['waitingFor'])))).toBe(true);
});
