/** Fencing: two attempts can overlap, only the newest one writes. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { parseLsn } from '../../../contract/lsn.ts';
import { holdEpoch, takeEpoch } from '../../../postgres/store/epoch.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { enableTriggers, disableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { streamChanges } from '../../support/lease.ts';
import { holding, inputOf } from '../../support/control.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { endMark, OPTIONS, startMigration, storedLsn, testWork } from '../../support/stream.ts';
import {
  ADVANCE,
  NOT_ADVANCED,
  advanceValues,
} from '../../../postgres/store/confirmed-position.ts';

const TABLE = /* sql */ `create table t (id int primary key)`;
const FAR = parseLsn('FF/0');
const to = { confirmedLsn: FAR, transactions: 3, changes: 9, consistent: true };

test('an overtaken attempt can neither open nor finish an apply transaction', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const before = await storedLsn(db, migration);
  await using old = await connectTo(db.target);
  await using other = await connectTo(db.target);
  const first = await takeEpoch(old, migration);
  // The old attempt's backend is gone by then, so its statements use another session here.
  const second = await takeEpoch(db.targetClient, migration);
  expect(second.epoch).toBe(first.epoch + 1n);
  await expect(old.query('select 1')).rejects.toThrow();

  await other.query('begin');
  await expect(holdEpoch(other, migration, first.epoch)).rejects.toMatchObject({ code: 'Fenced' });
  await expect(
    other.query(ADVANCE, advanceValues(migration, first.epoch, to)),
  ).rejects.toMatchObject({ code: NOT_ADVANCED });
  // COMMIT was sent right after it, before the answer arrived.
  await other.query('commit');
  expect(await storedLsn(db, migration)).toBe(before);

  await other.query('begin');
  await holdEpoch(other, migration, second.epoch);
  await other.query(ADVANCE, advanceValues(migration, second.epoch, to));
  await other.query('commit');
  const third = await takeEpoch(db.targetClient, migration);
  expect(third).toMatchObject({ ...to, epoch: second.epoch + 1n });
});

test('an attempt that holds the row in an open transaction is ended, and its uncommitted work is rolled back', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await using stuck = await connectTo(db.target);
  const first = await takeEpoch(stuck, migration);
  await stuck.query('begin');
  await holdEpoch(stuck, migration, first.epoch);
  await stuck.query(/* sql */ `insert into t values (1)`);
  const second = await takeEpoch(db.targetClient, migration);
  expect(second.epoch).toBe(first.epoch + 1n);
  const { rowCount } = await db.targetClient.query(/* sql */ `select from t`);
  expect(rowCount).toBe(0);
});

test('an attempt of a cancelled cutover that wakes up later neither enables triggers nor sets sequences', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, /* sql */ `${TABLE}; create sequence s`);
  await db.sourceClient.query(/* sql */ `select setval('s', 7)`);
  const input = inputOf(db);
  expect(await disableTriggers(migration, { scheduledAt: 2_000 })).toBe(0);
  await expect(enableTriggers(migration, { scheduledAt: 1_000 })).rejects.toMatchObject({
    code: 'Fenced',
  });
  await expect(setSequences(migration, input, { scheduledAt: 1_000 })).rejects.toMatchObject({
    code: 'Fenced',
  });
  const last = /* sql */ `select last_value::text as last from s`;
  expect((await db.targetClient.query(last)).rows).toEqual([{ last: '1' }]);
  // The next cutover's steps are accepted, and end the session that holds the row lock.
  await using stuck = await connectTo(db.target);
  const { epoch } = await takeEpoch(stuck, migration, null, 3_000);
  await stuck.query('begin');
  await holdEpoch(stuck, migration, epoch);
  await setSequences(migration, input, { scheduledAt: 4_000 });
  expect((await db.targetClient.query(last)).rows).toEqual([{ last: '7' }]);
  expect(await enableTriggers(migration, { scheduledAt: 5_000 })).toBe(0);
});

test('a session of someone else is never ended, not even one with the recorded process id', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await using stranger = await connectTo(db.target);
  await db.targetClient.query(
    /* sql */ `update walferry.migration set attempt_pid = $1, attempt_started = '2001-01-01'`,
    [Reflect.get(stranger, 'processID')],
  );
  await takeEpoch(db.targetClient, migration);
  await expect(stranger.query('select 1')).resolves.toBeInstanceOf(pg.Result);
});

test(
  'a row that a foreign session keeps locked is Contention, not a hang',
  { timeout: 180_000 },
  async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLE);
    await using stranger = await connectTo(db.target);
    await stranger.query(/* sql */ `begin; select from walferry.migration for update`);
    await expect(takeEpoch(db.targetClient, migration)).rejects.toMatchObject({
      code: 'Contention',
    });
    await stranger.query('rollback');
    await takeEpoch(db.targetClient, migration);
  },
);

test('a target without the checkpoint, or behind what was confirmed, is refused', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await expect(takeEpoch(db.targetClient, migration, FAR)).rejects.toMatchObject({
    code: 'CheckpointMissing',
  });
  await expect(takeEpoch(db.targetClient, { ...migration, id: 'another' })).rejects.toMatchObject({
    code: 'CheckpointMissing',
  });
  await db.targetClient.query(/* sql */ `drop schema walferry cascade`);
  await expect(takeEpoch(db.targetClient, migration)).rejects.toMatchObject({
    code: 'CheckpointMissing',
  });
});

test('the stored LSN never moves back', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { epoch } = await takeEpoch(db.targetClient, migration);
  const back = advanceValues(migration, epoch, { ...to, confirmedLsn: parseLsn('0/1') });
  await expect(db.targetClient.query(ADVANCE, back)).rejects.toMatchObject({ code: NOT_ADVANCED });
});

test('an attempt that starts late on a frozen machine is refused, and ends nothing of the newer one', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await using newer = await connectTo(db.target);
  const taken = await takeEpoch(newer, migration, null, 2_000);
  await expect(takeEpoch(db.targetClient, migration, null, 1_000)).rejects.toMatchObject({
    code: 'Fenced',
  });
  // The newer one's backend is alive and still has the epoch.
  await newer.query('begin');
  await holdEpoch(newer, migration, taken.epoch);
  await newer.query('rollback');
  const next = await takeEpoch(db.targetClient, migration, null, 2_001);
  expect(next.epoch).toBe(taken.epoch + 1n);
});

test('after the scheduler’s clock was set back, the refusal says by how much, and its statement lets the next attempt continue', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const taken = await takeEpoch(db.targetClient, migration, null, 3_600_000);
  const error: unknown = await takeEpoch(db.targetClient, migration, null, 500).catch(
    (failure: unknown) => failure,
  );
  const { message } = error as Error;
  expect(message).toContain('scheduled 3600 s after this one');
  await db.targetClient.query(/run on the target: (update [^;]*)$/.exec(message)?.[1] ?? '');
  const next = await takeEpoch(db.targetClient, migration, null, 1_000);
  expect(next.epoch).toBe(taken.epoch + 1n);
});

test('a copy plan that wakes up while the stream runs takes no table, and the stream misses nothing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const streamed = { ...testWork(), scheduledAt: 2_000 };
  const until = await endMark(db);
  await streamChanges(migration, { ...OPTIONS, until }, streamed);
  // The stream has found missing changes and waits for the operator; the copy starts when he resumes.
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'changed'`,
  );
  await using _ = await holding(db, migration);
  const woken = planCopy(migration, inputOf(db), { ...testWork(), scheduledAt: 1_000 });
  await expect(woken).rejects.toMatchObject({ code: 'Fenced' });
  const lease = streamChanges(migration, OPTIONS, { ...testWork(), scheduledAt: 3_000 });
  await expect(lease).rejects.toMatchObject({ code: 'Resync' });
  const plan = await planCopy(migration, inputOf(db), { ...testWork(), scheduledAt: 4_000 });
  expect(plan.runs).toHaveLength(1);
});
