/** A decision of the guard counts only while the guard is alive; nothing that the throttles write waits for a batch. */
import { expect, test } from 'vitest';
import type { GuardInput, GuardReport } from '../../../contract/guard.ts';
import { UNLIMITED } from '../../../contract/limits.ts';
import { exchangeShare, storeGuard, storeLimits } from '../../../postgres/store/throttle.ts';
import { guardingFromTheStart } from '../../../postgres/verification/guarded-run.ts';
import { holding, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { observed } from '../../support/observed.ts';
import { copiedOnce, inTheMiddle, planned, running, set } from '../../support/throttled.ts';
import { until } from '../../support/until.ts';

const HOLDING: GuardReport = { holding: true, measure: 'activeSessions', ceiling: 5, value: 9 };
const GUARDED = /guard of the source: activeSessions 9/;

/** As if it had been decided at that time. */
async function decided(db: FreshPair, when: string): Promise<void> {
  await db.targetClient.query(`update walferry.throttle set guard_at = clock_timestamp() + $1`, [
    when,
  ]);
}

test('a guard decision counts for ten seconds by the target’s clock, not after that was set back, and only for its snapshot', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const seen = async (pass: number) =>
    (await exchangeShare(db.targetClient, migration, { worker: 'a', streams: 1, pass })).guard;
  await storeGuard(db.targetClient, migration, 2, HOLDING);
  expect(await seen(2)).toEqual(HOLDING);
  expect([await seen(1), await seen(3)]).toEqual([null, null]);
  await decided(db, '-5 seconds');
  expect(await seen(2)).toEqual(HOLDING);
  for (const when of ['-11 seconds', '1 hour']) {
    await decided(db, when);
    expect(await seen(2)).toBeNull();
    await storeGuard(db.targetClient, migration, 2, HOLDING);
    expect(await seen(2)).toEqual(HOLDING);
  }
});

test('held streams continue when the guard is gone, and when its decision cannot be read', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await using held = await holding(db, migration);
  const plan = await make();
  await set(db, migration, 1, { copyBytesPerSecond: 20_000 });
  const copy = running(migration, plan);
  const all = plan.runs.length;
  await inTheMiddle(copy);
  const hold = async () => {
    await storeGuard(db.targetClient, migration, held.pass.number, HOLDING);
    await until('all streams to be held', () => copy.waiting(GUARDED) === all);
  };
  await hold();
  await decided(db, '-1 minute');
  await until('no stream to be held', () => copy.waiting(GUARDED) === 0, { seconds: 10 });
  await hold();
  await using other = await connectTo(db.target);
  await other.query('begin; lock table walferry.copier in exclusive mode');
  const bytes = copy.bytes();
  // Before the thirty seconds for which a chunk may be held.
  await until('bytes', () => copy.bytes() > bytes, { seconds: 20 });
  await other.query('rollback');
  await set(db, migration, 2, {});
  await copiedOnce(db, plan, await copy.ended);
});

test('a guard whose source answers slowly keeps renewing its last decision', async () => {
  await using db = await freshPair();
  const { migration } = await planned(db);
  await db.sourceClient.query('create table load (v int); insert into load values (100)');
  const sql = `select v + (select 0 from pg_sleep(case when v = 99 then 4 else 0 end)) from public.load`;
  const guard: GuardInput = { query: { sql, ceiling: 10 } };
  const reports: GuardReport[] = [];
  await using _held = await holding(db, migration, guard, (report) => void reports.push(report));
  await until('the guard to hold', () => reports.at(-1)?.holding === true);
  await db.sourceClient.query('update load set v = 99');
  const slow = `select from pg_stat_activity where application_name = 'walferry guard' and state = 'active' and query like 'fetch%' and clock_timestamp() - query_start > '2 seconds'`;
  await until('a slow measurement', async () => {
    const { rowCount } = await db.sourceClient.query(slow);
    return rowCount === 1;
  });
  const { rows } = await db.targetClient.query<{ age: number }>(
    `select extract(epoch from clock_timestamp() - guard_at)::float8 as age from walferry.throttle`,
  );
  expect(rows[0]?.age).toBeLessThan(1.8);
});

test('limits, guard and copy streams do not wait for a batch that has the migration’s row locked', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await using batch = await connectTo(db.target);
  await batch.query(
    'begin; select from walferry.migration for update; update walferry.migration set epoch = epoch + 1',
  );
  await db.targetClient.query(`set lock_timeout = '500ms'`);
  await storeLimits(db.targetClient, migration, { version: 1, limits: UNLIMITED });
  await storeGuard(db.targetClient, migration, 1, HOLDING);
  const mine = { worker: 'a', streams: 1, pass: 1 };
  expect((await exchangeShare(db.targetClient, migration, mine)).guard).toEqual(HOLDING);
  await batch.query('rollback');
});

test('a step that waits for the first measurements fails when the source does not answer them', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const guard: GuardInput = { activeSessions: 1_000 };
  const work = recordedWork();
  const waits = observed(guardingFromTheStart({ migration, guard }, db.targetClient, work, 1_500));
  await using _frozen = await until('the session of the guard', async () => {
    const { rows } = await db.sourceClient.query<{ pid: number }>(
      /* sql */ `select pid from pg_stat_activity where datname = current_database() and application_name like '%guard%'`,
    );
    const pid = rows[0]?.pid;
    if (pid === undefined) return false;
    process.kill(pid, 'SIGSTOP');
    return { [Symbol.asyncDispose]: () => Promise.resolve(void process.kill(pid, 'SIGCONT')) };
  });
  await expect(waits).rejects.toMatchObject({
    code: 'Stalled',
    message: expect.stringContaining('the guard of the source') as string,
  });
  await using begun = await guardingFromTheStart({ migration, guard }, db.targetClient, work);
  expect(begun?.hasDecided).toBe(true);
});
