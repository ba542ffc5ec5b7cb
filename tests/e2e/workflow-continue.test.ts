/**
 * Continue-as-new, on a server that suggests it after few events, so that a month of streaming fits into seconds.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import path from 'node:path';
import type { Client } from '@temporalio/client';
import { lsnToBigInt } from '../../contract/lsn.ts';
import type { MigrationRecord } from '../../contract/record.ts';
import { readChain } from '../../scripts/report/chain.ts';
import { buildReport } from '../../scripts/report/report-build.ts';
import { testRun } from '../support/run.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import { startOwnServer, type OwnServer } from './workflow/server.ts';

let server: OwnServer;
let migrations: Migrations;
beforeAll(async () => {
  const processes = path.join(testRun().folder, 'processes');
  server = await startOwnServer({ 'limit.historyCount.suggestContinueAsNew': '40' }, processes);
  migrations = await Migrations.open(server.address);
});
afterAll(async () => {
  await migrations[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

test('a migration streams through many runs: no update is lost, no number falls, nothing overlaps', async () => {
  const migration = await migrations.streaming((world) => void (world.leaseMs = 100));
  await migration.ask('setLimits', { applyChangesPerSecond: 7 });
  const before = await migration.progress();
  expect(before.limits).toMatchObject({ applyChangesPerSecond: 7 });
  let lsn = 0n;
  let answered = 0;
  while ((await runs(migrations.client, migration)).length < 6 || answered < 6) {
    for (const update of ['pause', 'resume'] as const) {
      expect(await migration.ask(update)).toMatchObject({ allowed: true });
      answered++;
      const { confirmedLsn, slot, startedAt, stream, limits } = await migration.progress();
      expect(limits).toEqual(before.limits);
      const now = lsnToBigInt(confirmedLsn ?? expect.fail('no LSN'));
      expect(now >= lsn).toBe(true);
      lsn = now;
      expect(slot).toBe(before.slot);
      expect(startedAt).toEqual(before.startedAt);
      expect(stream?.leases ?? 0).toBeGreaterThan(0);
    }
    const count = migration.world.count('streamChanges');
    await until('some leases', () => migration.world.count('streamChanges') > count + 3);
  }
  expect(answered).toBeGreaterThan(4);
  expect((await migration.ask('cutover')).allowed).toBe(true);
  expect((await migration.end()).status).toBe('COMPLETED');
  expect(migration.world.leftovers).toEqual([]);
  expect(migration.world.mostStreams).toBe(1);
  for (const runId of await runs(migrations.client, migration)) {
    await expectNothingPending(migration.id, runId);
  }
});

test('limits that could not be written are shown in every run until they are written', async () => {
  const migration = await migrations.streaming((world) => {
    world.leaseMs = 100;
    world.fail('storeLimits', 'Denied', 'no right on walferry.throttle');
  });
  const limits = { applyChangesPerSecond: 7 };
  expect((await migration.ask('setLimits', limits)).text).toContain('Not in force yet');
  const noted = async () => (await migration.progress()).notes?.join() ?? '';
  const note = 'new limits are not in force yet: they could not be written into the control schema';
  expect(await noted()).toContain(note);
  await until('the third run', async () => (await runs(migrations.client, migration)).length >= 3);
  expect(await noted()).toContain(`${note} on the target: no right on walferry.throttle`);
  expect(migration.world.limits).toEqual([]);
  expect((await migration.ask('setLimits', limits)).text).toContain('In force within seconds');
  expect(await noted()).not.toContain(note);
  await migration.ask('abort');
});

test('a cutover that was asked for outlives many runs and begins when its window opens; who waits for it is asked to call again', async () => {
  const soon = (seconds: number): string =>
    new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z/, 'Z');
  const migration = await migrations.streaming((world) => void (world.leaseMs = 100));
  const before = (await runs(migrations.client, migration)).length;
  const window = { from: soon(25), to: soon(600) };
  expect((await migration.ask('cutover', { window })).text).toMatch(/^Cutover asked for: it runs/);
  // The cutover waits in it, so that the last call finds it open.
  const release = migration.world.hold('compareCounts');
  const answers: string[] = [];
  const end = (async () => {
    for (;;) {
      const { allowed, text } = await migration.ask('await-cutover');
      answers.push(text);
      if (allowed) return;
      expect(text).toContain('continues as a new run: call await-cutover again');
    }
  })();
  await until('counting', () => migration.world.isRunning('compareCounts'), { seconds: 90 });
  await until('the last call to wait', () => isAwaited(migration));
  release();
  await end;
  expect(answers.at(-1)).toMatch(/^Cutover complete/);
  expect(answers.length).toBeGreaterThan(1);
  const { text } = await migration.end();
  const { record } = JSON.parse(text) as { record: MigrationRecord };
  expect(Date.parse(record.cutovers[0]?.at ?? '')).toBeGreaterThanOrEqual(Date.parse(window.from));
  const chain = await runs(migrations.client, migration);
  expect(chain.length).toBeGreaterThan(before + 1);
  expect(migration.world.leftovers).toEqual([]);
  // The report reads the whole chain, and the samples of runs whose history it could no longer read.
  const { client } = migrations;
  const temporal = { client, address: server.address, namespace: 'default' };
  const { runs: histories, complete } = await readChain(
    { ...temporal, [Symbol.asyncDispose]: () => Promise.resolve() },
    migration.id,
  );
  expect({ complete, ids: histories.map(({ runId }) => runId) }).toEqual({
    complete: true,
    ids: chain,
  });
  const [newest] = histories.slice(-1);
  if (!newest) throw new Error('no run');
  const now = new Date().toISOString();
  const [first = newest, ...others] = histories;
  const whole = buildReport({ runs: [first, ...others], complete, now });
  const last = buildReport({ runs: [newest], complete: false, now });
  for (const report of [whole, last]) {
    expect(report).toMatchObject({
      status: 'done',
      leftBehind: [],
      cutovers: [{ end: { how: 'done' } }],
    });
    expect(report.phases[0]).toMatchObject({
      phase: 'preflight',
      from: record.startedAt.preflight,
    });
    expect(report.lag.length).toBeGreaterThan(20);
  }
});

test('a cancellation reaches the newest run, and cleans up', async () => {
  const migration = await migrations.streaming((world) => void (world.leaseMs = 100));
  await until('the third run', async () => (await runs(migrations.client, migration)).length >= 3);
  await migration.handle.cancel();
  expect((await migration.end()).status).toBe('CANCELLED');
  expect(migration.world.leftovers).toEqual([]);
});

test('a verification that is longer than a run of the chain goes on in the next one, and keeps no caller waiting across it', async () => {
  const migration = await migrations.start(
    (world) => {
      world.leaseMs = 100;
      world.verifications.piecesTotal = 60;
      world.verifications.piecesPerRun = 1;
      world.verifications.piecesPerSlice = 6;
    },
    { source: 'orders_old', target: 'orders_new', verify: 'off' },
  );
  const { verifications } = migration.world;
  await until('the stream', () => migration.world.count('buildConstraints') > 0);
  const before = (await runs(migrations.client, migration)).length;
  const answers: string[] = [];
  // A call may meet the moment in which a run of the chain ends.
  const ask = async () => (await migration.ask('verify').catch(() => undefined))?.text ?? '';
  for (;;) {
    const answer = await ask();
    answers.push(answer);
    if (answer.startsWith('Equal')) break;
    const { verification } = await migration.progress();
    expect(verification?.running ?? verification?.last).not.toBeNull();
  }
  expect(answers.filter((text) => text.startsWith('Still running: ')).length).toBeGreaterThan(1);
  expect(new Set(verifications.reported).size).toBe(1);
  expect([...verifications.comparisons.values()]).toEqual(Array.from({ length: 60 }, () => 1));
  expect(verifications.mostAnchors).toBe(1);
  const chain = await runs(migrations.client, migration);
  expect(chain.length).toBeGreaterThan(before + 2);
  for (const runId of chain.slice(0, -1)) await expectNothingPending(migration.id, runId);
  await migration.ask('abort');
  expect((await migration.end()).type).toBe('Aborted');
});

async function expectNothingPending(id: string, runId: string): Promise<void> {
  const { events } = await migrations.client.workflow.getHandle(id, runId).fetchHistory();
  const all = events ?? [];
  const scheduled = all.filter((e) => e.activityTaskScheduledEventAttributes != null).length;
  const ended = all.filter(
    (e) => e.activityTaskCompletedEventAttributes ?? e.activityTaskCanceledEventAttributes,
  ).length;
  expect(ended, 'an activity was pending when the run ended').toBe(scheduled);
}

/** Whether the newest run has accepted an update that it has not answered. */
async function isAwaited(migration: SimulatedMigration): Promise<boolean> {
  const all = (await migration.handle.fetchHistory()).events ?? [];
  const accepted = all.filter((one) => one.workflowExecutionUpdateAcceptedEventAttributes).length;
  return accepted > all.filter((one) => one.workflowExecutionUpdateCompletedEventAttributes).length;
}

/** Ids of all runs of the chain, in order. */
async function runs(client: Client, migration: SimulatedMigration): Promise<string[]> {
  const chain: string[] = [];
  let next: string | null | undefined = migration.firstRunId;
  while (next) {
    chain.push(next);
    const { events } = await client.workflow.getHandle(migration.id, next).fetchHistory();
    next = events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
  }
  return chain;
}
