/** The worker process as a supervisor sees it: what it prints, how it ends, and what it has room for. */
import { describe, expect, test } from 'vitest';
import { Room } from '../../activities/worker-capacity.ts';
import { MigrationError } from '../../contract/failure.ts';
import { freePort } from '../../scripts/local/cluster/port.ts';
import { PLACE_SIGNAL } from '../../contract/work.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { startWorker } from '../support/worker.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';

test('a worker reports where it polls, stops in an orderly way on SIGTERM, and ends with 0', async () => {
  await using worker = await startWorker();
  expect(worker.log()).toContain(
    `worker ready: polls task queue walferry of namespace default at ${temporalServer().address}`,
  );
  expect(await worker.shutDown()).toEqual({ code: 0, signal: null });
  expect(worker.log()).toContain('worker stopped');
});

test('without a Temporal server it reports the address and what to do, and keeps trying', async () => {
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
  expect(wrong.log()).toContain('must be a whole number from 1 to');
});

describe('a worker with more migrations than slots', () => {
  const open = (migrations: number, copies: number, giveBackMs = 1_000) =>
    Migrations.open(
      temporalServer().address,
      new Room(
        { migrations, copies },
        { tellMs: 200, giveBackMs, keepMs: 5_000, handoverMs: 3_000 },
      ),
    );
  const waits = (migration: SimulatedMigration) =>
    until('the migration to wait', async () => (await migration.progress()).placeWait);
  const streams = (migration: SimulatedMigration) =>
    until('the stream', () => migration.world.isRunning('streamChanges'));

  test('a surplus migration waits, reports since when and what to do, and continues when a place is free', async () => {
    await using migrations = await open(1, 64);
    const first = await migrations.streaming();
    const second = await migrations.start();
    const { reason } = await waits(second);
    expect(reason).toBe(
      'a worker has no free place for open migrations: 1 of 1 in use (--max-activities)',
    );
    const details = await second.details();
    expect(details).toMatch(
      /waiting for a free worker place since \d{4}-.* UTC: a worker has no free/,
    );
    expect(details).toContain('Start another worker');
    // Returned and taken again, the wait still counts from its start.
    const { since } = await waits(second);
    await until('another attempt', async () => (await second.attempt('holdSnapshot')) > 2);
    expect((await second.progress()).placeWait).toMatchObject({ since });
    await first.ask('abort');
    await streams(second);
    expect((await second.progress()).placeWait).toBeNull();
    await second.ask('abort');
  });

  test('more migrations than slots complete one after another: a stream keeps its slot through its leases', async () => {
    await using migrations = await open(1, 1);
    const all = await Promise.all(
      [1, 2, 3].map(() => migrations.start((world) => void (world.leaseMs = 300))),
    );
    const left = new Set(all);
    while (left.size > 0) {
      const first = await until(
        'some leases of one of them',
        () => [...left].find(({ world }) => world.count('streamChanges') > 3),
        { seconds: 60 },
      );
      left.delete(first);
      for (const { world } of left) expect(world.count('holdSnapshot')).toBe(0);
      expect(await first.ask('cutover')).toMatchObject({ allowed: true });
      expect(await first.end()).toMatchObject({ status: 'COMPLETED' });
      expect(first.world.mostStreams).toBe(1);
    }
  });

  test('no snapshot is held while every slot for copies is in use, and the reason names those', async () => {
    await using migrations = await open(5, 1);
    let release: () => void = () => undefined;
    const first = await migrations.start((world) => void (release = world.hold('copyChunks')));
    await until('a copy', () => first.world.isRunning('copyChunks'));
    const second = await migrations.start();
    expect((await waits(second)).reason).toBe(
      'a worker has no free place for copies: 1 of 1 in use (--max-copies)',
    );
    await until('another attempt', async () => (await second.attempt('holdSnapshot')) > 2);
    expect(second.world.count('holdSnapshot')).toBe(0);
    release();
    for (const migration of [first, second]) {
      await streams(migration);
      await migration.ask('abort');
    }
  });

  test('a held copy gives its slot to another migration, and takes one again when it continues', async () => {
    await using migrations = await open(5, 1);
    const held = { over: false, back: false };
    const first = await migrations.start((world) =>
      world.script('copyChunks', async (work) => {
        work.place?.lend();
        while (!held.over) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          work.beat({ held: true });
        }
        await work.place?.retake('in turn');
        held.back = true;
      }),
    );
    await until('the copy to be held', () => first.world.count('copyChunks') > 0);
    const second = await migrations.start();
    await streams(second);
    expect(first.world.isRunning('copyChunks')).toBe(true);
    // In its turn: another one has the slot.
    let release: () => void = () => undefined;
    const third = await migrations.start((world) => void (release = world.hold('copyChunks')));
    await until('a copy', () => third.world.isRunning('copyChunks'));
    held.over = true;
    await waits(first);
    expect(held.back).toBe(false);
    release();
    for (const migration of [first, third]) await streams(migration);
    for (const migration of [first, second, third]) await migration.ask('abort');
  });

  test('a waiting migration is taken over by a worker that has room', async () => {
    await using migrations = await open(1, 64);
    await migrations.streaming();
    const second = await migrations.start();
    await waits(second);
    await migrations.startWorker();
    await streams(second);
    expect((await second.progress()).placeWait).toBeNull();
  });

  test('a pause ends the wait, a nonsensical signal does not, and the drain of a cutover never waits', async () => {
    await using migrations = await open(1, 64);
    const first = await migrations.streaming();
    const second = await migrations.start();
    await waits(second);
    // Its slot is not kept: no one knows when it will continue.
    await first.ask('pause');
    await streams(second);
    await first.ask('resume');
    await waits(first);
    await first.handle.signal(PLACE_SIGNAL, { since: 'yesterday' });
    expect((await first.progress()).placeWait).not.toBeNull();
    expect(await first.ask('pause')).toMatchObject({ allowed: true });
    expect((await first.progress()).placeWait).toBeNull();
    expect(await first.ask('cutover')).toMatchObject({ allowed: true });
    expect(second.world.isRunning('streamChanges')).toBe(true);
    await second.handle.terminate();
  });

  test('a cutover that is undone gets the slot of its stream back, even if others wait', async () => {
    await using migrations = await open(1, 64);
    const first = await migrations.streaming((world) => void (world.late = ['public.orders']));
    const second = await migrations.start();
    await waits(second);
    const leases = first.world.count('streamChanges');
    expect(await first.ask('cutover')).toMatchObject({ allowed: false, type: 'StillWriting' });
    // The drain, and a lease.
    await until('the next lease', () => first.world.count('streamChanges') > leases + 1);
    expect(first.world.isRunning('streamChanges')).toBe(true);
    expect(second.world.count('holdSnapshot')).toBe(0);
    for (const migration of [first, second]) await migration.ask('abort');
  });

  test('a wait that a dead worker reported and did not clear is over when the next attempt begins', async () => {
    await using migrations = await open(1, 64);
    let failing = false;
    const migration = await migrations.streaming((world) =>
      world.script('streamChanges', async (work) => {
        while (!failing) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          work.beat({ simulated: true });
        }
        throw new MigrationError('Unreachable', 'the target is away');
      }),
    );
    await migration.handle.signal(PLACE_SIGNAL, {
      since: new Date().toISOString(),
      reason: 'full',
    });
    await waits(migration);
    failing = true;
    await until('another attempt', () => migration.world.count('streamChanges') > 1);
    await until('the wait to be over', async () => (await migration.progress()).placeWait === null);
    expect(migration.world.isRunning('streamChanges')).toBe(true);
    await migration.ask('abort');
  });
});
