/** The worker process as a supervisor sees it: what it prints, how it ends, and what it has room for. */
import { describe, expect, test } from 'vitest';
import { Room } from '../../activities/room.ts';
import { SLOT_SIGNAL } from '../../contract/work.ts';
import { freePort } from '../../scripts/cluster/port.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { startWorker } from '../support/worker.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';

test('a worker says where it polls, stops in order on SIGTERM, and ends with 0', async () => {
  await using worker = await startWorker();
  expect(worker.log()).toContain(
    `worker ready: polls task queue walferry of namespace default at ${temporalServer().address}`,
  );
  expect(await worker.shutDown()).toEqual({ code: 0, signal: null });
  expect(worker.log()).toContain('worker stopped');
});

test('without a Temporal server it names the address and what to do, and keeps trying', async () => {
  const port = await freePort();
  await using worker = await startWorker({
    env: { TEMPORAL_ADDRESS: `127.0.0.1:${port}` },
    waitUntilReady: false,
  });
  const text = `the Temporal server at 127.0.0.1:${port} does not answer; start it or set TEMPORAL_ADDRESS`;
  await until('two attempts', () => worker.log().split(text).length > 2);
  expect(worker.isAlive()).toBe(true);
  expect(worker.log()).not.toMatch(/\bready\b/);
});

test('--help explains every option, and a wrong one ends with 2', async () => {
  await using help = await startWorker({ args: ['--help'], waitUntilReady: false });
  await until('the end', () => !help.isAlive());
  for (const words of [
    ...['--task-queue', '--max-activities', '--max-copies', '--log-format'],
    'TEMPORAL_ADDRESS',
  ]) {
    expect(help.log()).toContain(words);
  }
  await using wrong = await startWorker({
    args: ['--max-activities', 'many'],
    waitUntilReady: false,
  });
  await until('the end', () => !wrong.isAlive());
  const { code } = await wrong.shutDown();
  expect(code).toBe(2);
  expect(wrong.log()).toContain('must be a whole number above 0');
});

describe('a worker with more migrations than slots', () => {
  const open = (migrations: number, copies: number, giveBackMs = 1_000) =>
    Migrations.open(
      temporalServer().address,
      new Room({ migrations, copies }, { tellMs: 200, giveBackMs }),
    );
  const waits = (migration: SimulatedMigration) =>
    until('the migration to wait', async () => (await migration.progress()).slotWait);
  const streams = (migration: SimulatedMigration) =>
    until('the stream', () => migration.world.isRunning('streamChanges'));

  test('one migration more waits, says since when and what to do, and goes on when a slot is free', async () => {
    await using migrations = await open(1, 64);
    const first = await migrations.streaming();
    const second = await migrations.start();
    const { reason } = await waits(second);
    expect(reason).toBe(
      'a worker has no free slot for open migrations: 1 of 1 in use (--max-activities)',
    );
    const details = await second.details();
    expect(details).toMatch(
      /waiting for a free worker slot since \d{4}-.* UTC: a worker has no free/,
    );
    expect(details).toContain('Start another worker');
    // Given back and taken again, it still waits since the beginning.
    const { since } = await waits(second);
    await until('another attempt', async () => (await second.attempt('holdSnapshot')) > 2);
    expect((await second.progress()).slotWait).toMatchObject({ since });
    await first.ask('abort');
    await streams(second);
    expect((await second.progress()).slotWait).toBeNull();
    await second.ask('abort');
  });

  test('more migrations than slots all come to their stream and to their end: holders do not keep copies waiting', async () => {
    await using migrations = await open(1, 1);
    const all = await Promise.all(
      [1, 2, 3].map(() => migrations.start((world) => void (world.leaseMs = 300))),
    );
    for (const { world } of all) {
      await until('a lease', () => world.count('streamChanges') > 0, { seconds: 60 });
    }
    for (const migration of all) {
      expect(await migration.ask('cutover')).toMatchObject({ allowed: true });
      expect(await migration.end()).toMatchObject({ status: 'COMPLETED' });
      expect(migration.world.mostStreams).toBe(1);
    }
  });

  test('a waiting migration is taken over by a worker that has room', async () => {
    await using migrations = await open(1, 64);
    await migrations.streaming();
    const second = await migrations.start();
    await waits(second);
    await migrations.startWorker();
    await streams(second);
    expect((await second.progress()).slotWait).toBeNull();
  });

  test('a pause ends the wait, a nonsensical signal does not, and the drain of a cutover never waits', async () => {
    await using migrations = await open(1, 64);
    const first = await migrations.streaming((world) => void (world.leaseMs = 3_000));
    const second = await migrations.start();
    await waits(second);
    // The first gives its slot away at the end of its lease.
    await streams(second);
    await waits(first);
    await first.handle.signal(SLOT_SIGNAL, { since: 'yesterday' });
    expect((await first.progress()).slotWait).not.toBeNull();
    expect(await first.ask('pause')).toMatchObject({ allowed: true });
    expect((await first.progress()).slotWait).toBeNull();
    expect(await first.ask('cutover')).toMatchObject({ allowed: true });
    expect(second.world.isRunning('streamChanges')).toBe(true);
    await second.handle.terminate();
  });
});
