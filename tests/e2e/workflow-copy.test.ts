/** Passes of the copy, waiting for the operator, other workers, and a huge plan. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import type { StepName } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

/** Every chunk is marked, and none was copied twice. */
function expectEachChunkOnce({ world }: SimulatedMigration): void {
  expect([...world.done].sort((a, b) => a - b)).toEqual(
    Array.from({ length: world.chunksTotal }, (_, i) => i),
  );
  expect([...world.copies.values()].every((times) => times === 1)).toBe(true);
}

describe('passes', () => {
  test.concurrent(
    'a lost snapshot costs a pass, and no finished chunk is copied twice',
    async () => {
      const migration = await migrations.start((world) => {
        world.chunksTotal = 60;
        world.chunksPerRun = 10;
      });
      const { world } = migration;
      await until('some chunks to be done', () => world.done.size >= 5);
      world.live = undefined;
      const { snapshot } = await migration.reaches('stream');
      expect(snapshot).toMatchObject({
        pass: 2,
        chunksDone: 60,
        chunksTotal: 60,
        rows: 6000,
      });
      expectEachChunkOnce(migration);
      await migration.ask('abort');
      expect(world.leftovers).toEqual([]);
    },
  );

  test.concurrent.each<[string, { rewriteFails?: boolean; tellsRewrites?: boolean }]>([
    ['fails', { rewriteFails: true }],
    ['tells that it left chunks out', {}],
    ['skips chunks and cannot tell why', { tellsRewrites: false }],
  ])('a rewritten table goes to the next pass when its run %s', async (_, how) => {
    const migration = await migrations.start((world) => {
      Object.assign(world, how);
      world.rewritten.add('1:3');
    });
    await migration.reaches('stream');
    expect(migration.world.pass).toBe(2);
    expectEachChunkOnce(migration);
    await migration.ask('abort');
  });

  test.concurrent('tables that are rewritten in every pass are shown to the operator', async () => {
    const migration = await migrations.start((world) => {
      for (let pass = 1; pass <= 40; pass++) {
        for (let chunk = 0; chunk < 6; chunk++) world.rewritten.add(`${pass}:${chunk}`);
      }
    });
    const { waiting } = await until(
      'to wait',
      async () => {
        const progress = await migration.progress();
        return progress.waiting !== null && progress;
      },
      { seconds: 200 },
    );
    expect(waiting).toMatchObject({ step: 'snapshot', code: 'TableRewritten' });
    await migration.ask('abort');
  });

  test.concurrent(
    'the plan that finds nothing left may end the snapshot owner before its own answer arrives: there is no further pass',
    async () => {
      const migration = await migrations.start((world) => {
        world.beforeEmptyPlan = async () => {
          await until('the workflow to see the end of the snapshot owner', () =>
            migration.hasHeardOf('holdSnapshot'),
          );
        };
      });
      await migration.reaches('stream');
      expect(migration.world.pass).toBe(1);
      expectEachChunkOnce(migration);
      await migration.ask('abort');
    },
  );

  test.concurrent('constraints wait for consistency after several exported snapshots', async () => {
    const migration = await migrations.start((world) => {
      world.rewritten.add('1:3');
      world.leaseMs = 300;
    });
    await until('constraints to be built', () => migration.world.count('buildConstraints') > 0);
    const order = await migration.activities();
    expect(order.indexOf('buildConstraints')).toBeGreaterThan(order.indexOf('streamChanges'));
    await until(
      'the stream to continue',
      async () => (await migration.activities()).at(-1) === 'streamChanges',
    );
    await migration.ask('abort');
  });

  test.concurrent(
    'a resync puts the migration back into phase snapshot, where pause and cutover are refused, and then it streams again',
    async () => {
      let release: (() => void) | undefined;
      const migration = await migrations.start((world) => {
        world.script('streamChanges', () => {
          world.done.delete(0);
          release = world.hold('planCopy');
          return Promise.reject(new MigrationError('Resync', 'public.orders was rewritten'));
        });
      });
      const { world } = migration;
      await until('the next plan', () => release !== undefined && world.isRunning('planCopy'));
      expect((await migration.progress()).phase).toBe('snapshot');
      for (const update of ['pause', 'cutover'] as const) {
        const { allowed, text } = await migration.ask(update);
        expect({ allowed, text }).toEqual({
          allowed: false,
          text: expect.stringContaining('this migration is in phase snapshot') as string,
        });
      }
      release?.();
      await migration.reaches('stream');
      await until('the stream to run', () => world.isRunning('streamChanges'));
      expect([...world.copies].filter(([, times]) => times > 1)).toEqual([[0, 2]]);
      expect(await migration.ask('cutover')).toMatchObject({ allowed: true });
      expect((await migration.end()).status).toBe('COMPLETED');
    },
  );

  test.concurrent('a cutover before the constraints builds them after the drain', async () => {
    const migration = await migrations.start((world) => void world.rewritten.add('1:3'));
    await until('the stream to run', () => migration.world.isRunning('streamChanges'));
    expect((await migration.ask('cutover')).allowed).toBe(true);
    const order = await migration.activities();
    expect(order.indexOf('buildConstraints')).toBeGreaterThan(order.lastIndexOf('streamChanges'));
    expect(order.indexOf('buildConstraints')).toBeLessThan(order.indexOf('compareCounts'));
  });

  test.concurrent('a database without rows is consistent from the start', async () => {
    const migration = await migrations.start((world) => void (world.chunksTotal = 0));
    await until('the stream to run', () => migration.world.isRunning('streamChanges'));
    expect(migration.world.count('buildConstraints')).toBe(1);
    expect((await migration.ask('cutover')).allowed).toBe(true);
  });
});

describe('waiting for the operator', () => {
  test.concurrent.each<[StepName, 'snapshot' | 'indexes' | 'stream', string]>([
    ['holdSnapshot', 'snapshot', 'snapshot'],
    ['planCopy', 'snapshot', 'snapshot'],
    ['copyChunks', 'snapshot', 'snapshot'],
    ['buildIndexes', 'indexes', 'indexes'],
    ['buildConstraints', 'indexes', 'constraints'],
    ['streamChanges', 'stream', 'stream'],
  ])(
    'a failure of %s waits with reason and action, and resume retries',
    async (step, phase, named) => {
      const migration = await migrations.start((world) =>
        world.fail(step, 'Denied', 'no right on t'),
      );
      const progress = await migration.reaches(phase, 'waiting');
      expect(progress.waiting).toEqual({
        ...{ step: named, code: 'Denied', reason: 'no right on t' },
        action:
          'Correct the password, role or grant named in the message, then resume; before the copy: start again.',
      });
      // No snapshot is held while it waits for a person.
      expect(migration.world.isRunning('holdSnapshot')).toBe(false);
      const answer = await migration.ask('resume');
      expect(answer.text).toBe(`Retrying step ${named}, which had stopped with Denied.`);
      await migration.reaches('stream', 'running');
      expectEachChunkOnce(migration);
      expect((await migration.ask('cutover')).allowed).toBe(true);
    },
  );

  test.concurrent(
    'a repeated failure waits again, and no error ends a migration that has rows',
    async () => {
      const migration = await migrations.start((world) => {
        world.fail('streamChanges', 'RowMissing', 'first');
        world.fail('streamChanges', 'RowMissing', 'second');
        world.script('streamChanges', () => Promise.reject(new TypeError('a bug of an activity')));
      });
      for (const reason of [/^first$/, /^second$/, /TypeError/]) {
        const { waiting } = await until(`to wait for ${String(reason)}`, async () => {
          const progress = await migration.progress();
          return reason.test(progress.waiting?.reason ?? '') && progress;
        });
        expect(waiting?.step).toBe('stream');
        await migration.ask('resume');
      }
      await until('the stream to run', () => migration.world.isRunning('streamChanges'));
      await migration.ask('abort');
    },
  );

  test.concurrent('a run that fails is named at once, while the other runs continue', async () => {
    const migration = await migrations.start((world) => {
      world.fail('copyChunks', 'CopyFailed', 'table public.t: SQLSTATE 22P05');
      world.script('copyChunks', () => new Promise((resolve) => setTimeout(resolve, 2_000)));
    });
    const { notes, state } = await until('the note', async () => {
      const progress = await migration.progress();
      return (progress.notes?.length ?? 0) > 0 && progress;
    });
    expect(state).toBe('running');
    expect(notes).toEqual([
      expect.stringMatching(/^copy of public\.orders .* stopped: table public\.t: SQLSTATE 22P05/),
    ]);
    await migration.reaches('snapshot', 'waiting');
    await migration.ask('resume');
    expect((await migration.reaches('stream')).notes).toEqual([]);
    expectEachChunkOnce(migration);
    await migration.ask('abort');
  });
});

test('a plan of 100,000 chunks stays far below the limits of a history', async () => {
  const migration = await migrations.start((world) => {
    world.chunksTotal = 100_000;
    world.chunksPerRun = 250;
    world.parallelism = 8;
    world.instantChunks = true;
  });
  await until('all to be copied', () => migration.world.done.size === 100_000, { seconds: 120 });
  await until('the stream to run', () => migration.world.isRunning('streamChanges'));
  expectEachChunkOnce(migration);
  // 400 runs of three events each, and a workflow task of three events for each that ended: the server suggests to
  // continue as new at 4,096 events and ends a workflow at 51,200.
  expect(await migration.eventCount()).toBeLessThan(3_000);
  await migration.ask('abort');
});

describe('a worker that shuts down', () => {
  test('in the copy and in the stream: another one continues without a wait', async () => {
    await using own = await Migrations.open(temporalServer().address);
    const migration = await own.start((world) => {
      world.chunksTotal = 400;
      world.chunksPerRun = 100;
    });
    const { world } = migration;
    await until('some chunks to be done', () => world.done.size >= 20);
    await own.startWorker();
    await own.workers[0]?.shutDown();
    await until('the stream to run', () => world.isRunning('streamChanges'));
    expectEachChunkOnce(migration);
    const before = world.confirmed;
    await own.startWorker();
    await own.workers[1]?.shutDown();
    await until(
      'the stream to continue',
      () => world.confirmed > before && world.isRunning('streamChanges'),
    );
    expect(world.count('fenceStream')).toBe(0);
    // The worker returns the drain half-way, and the next one continues it.
    world.script('streamChanges', () => own.startWorker().then(() => undefined));
    world.position += 0x100000n;
    const cutover = migration.ask('cutover');
    await until('the drain', () => own.workers.length === 4);
    await own.workers[2]?.shutDown();
    expect(await cutover).toMatchObject({ allowed: true });
  });
});

test.concurrent(
  'phase indexes shows what there is to build, and what each step built',
  async () => {
    const toBuild = { indexesTotal: 4, constraintsTotal: 2 };
    const nothing = { indexesBuilt: null, tablesAnalyzed: null, constraintsBuilt: null };
    const migration = await migrations.start((world) => {
      world.fail('buildIndexes', 'SchemaFailed');
      world.fail('buildConstraints', 'ConstraintFailed');
    });
    const { indexes } = await migration.reaches('indexes', 'waiting');
    expect(indexes).toEqual({ ...toBuild, ...nothing });
    await migration.ask('resume');
    const built = { ...toBuild, indexesBuilt: 4, tablesAnalyzed: 3 };
    const waiting = await until('the constraints to fail', async () => {
      const progress = await migration.progress();
      return progress.waiting?.step === 'constraints' && progress;
    });
    expect(waiting.indexes).toEqual({ ...built, constraintsBuilt: null });
    await migration.ask('resume');
    const done = await until('the constraints', async () => {
      const progress = await migration.progress();
      return progress.indexes?.constraintsBuilt !== null && progress;
    });
    expect(done.indexes).toEqual({ ...built, constraintsBuilt: 2 });
    await migration.ask('abort');
  },
);
