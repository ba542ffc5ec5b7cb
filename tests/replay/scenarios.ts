/**
 * One migration for every ending, and some for the paths in between: which histories are stored, and how they are
 * produced. A stored history represents the migrations that run while their workers are updated: workflow code that
 * no longer fits one of them would block those.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { Migrations, SimulatedMigration } from '../e2e/workflow/migrations.ts';
import type { World } from '../e2e/workflow/world.ts';
import { until } from '../support/until.ts';

export interface Scenario {
  /** Name of the file. */
  readonly name: string;
  /** The workflow's last event, as in the history's JSON. */
  readonly ends: string;
  /** Which run of the chain is stored: the first, or the second (it begins with carried state). */
  readonly run?: 'second';
  play(migrations: Migrations): Promise<SimulatedMigration>;
}

const COMPLETED = 'EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED';
const FAILED = 'EVENT_TYPE_WORKFLOW_EXECUTION_FAILED';
const CANCELED = 'EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED';
const CONTINUED = 'EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW';

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'done',
    ends: COMPLETED,
    play: async (migrations) => {
      const migration = await migrations.streaming();
      await migration.ask('cutover');
      return migration;
    },
  },
  {
    name: 'done-after-many-detours',
    ends: COMPLETED,
    // A rewritten table, waiting in the copy and in the stream, pause, an undone cutover.
    play: async (migrations) => {
      const migration = await migrations.start((world) => {
        world.rewritten.add('1:3');
        world.fail('copyChunks', 'CopyFailed');
        world.fail('streamChanges', 'RowMissing');
        world.late = ['public.orders'];
        world.leaseMs = 500;
      });
      await migration.reaches('snapshot', 'waiting');
      await migration.ask('resume');
      await migration.reaches('stream', 'waiting');
      await migration.ask('resume');
      await until('constraints', () => migration.world.count('buildConstraints') > 0);
      await until('the stream', () => migration.world.isRunning('streamChanges'));
      await migration.ask('pause');
      await migration.ask('resume');
      await migration.ask('cutover');
      migration.world.late = [];
      await migration.ask('cutover', { compare: 'off' });
      return migration;
    },
  },
  {
    name: 'switched-back',
    ends: COMPLETED,
    // Everything that a night has: verification, rehearsals, the fence, the way back, and the return.
    play: async (migrations) => {
      const migration = await migrations.start(undefined, {
        ...{ source: 'orders_old', target: 'orders_new', fence: 'trigger', switchback: '24h' },
        verify: 'before-cutover',
      });
      await migration.reaches('stream');
      await migration.ask('verify');
      await migration.ask('rehearse');
      await migration.ask('rehearse', { fence: true });
      await migration.ask('cutover');
      await migration.reaches('reverse');
      await until('the stream', () => migration.world.isRunning('streamChanges'));
      await migration.ask('switchback');
      return migration;
    },
  },
  {
    name: 'resynced',
    ends: COMPLETED,
    // Twice: at once, and after a pass that waits for the operator; then cut over.
    play: async (migrations) => {
      const again = (world: World, chunk: number): void =>
        world.script('streamChanges', () => {
          world.done.delete(chunk);
          return Promise.reject(new MigrationError('Resync', 'public.orders was rewritten'));
        });
      const migration = await migrations.start((world) => again(world, 0));
      const { world } = migration;
      await until('the stream after the resync', () => (world.copies.get(0) ?? 0) === 2);
      await until('the stream', () => world.isRunning('streamChanges'));
      await migration.ask('pause');
      again(world, 3);
      world.fail('planCopy', 'SchemaDrift');
      await migration.ask('resume');
      await migration.reaches('snapshot', 'waiting');
      await migration.ask('resume');
      await until('the second copy', () => (world.copies.get(3) ?? 0) === 2);
      await until('the stream', () => world.isRunning('streamChanges'));
      await migration.ask('cutover');
      return migration;
    },
  },
  {
    name: 'aborted',
    ends: FAILED,
    play: async (migrations) => {
      const migration = await migrations.streaming();
      await migration.ask('abort');
      return migration;
    },
  },
  {
    name: 'refused-while-held',
    ends: FAILED,
    // Recorded when a refused call still moved the window of the request that waits.
    play: async (migrations) => {
      const day = { from: '2020-01-01T00:00Z', to: '2198-01-01T00:00Z' };
      const night = { from: '2198-01-01T00:00Z', to: '2199-01-01T00:00Z' };
      const migration = await migrations.streaming((world) => void world.hold('comparePieces'), {
        ...{ source: 'orders_old', target: 'orders_new', verify: 'before-cutover' },
      });
      await until('a comparison', () => migration.world.isRunning('comparePieces'));
      await migration.ask('cutover', { window: night });
      await migration.ask('cutover', { window: day });
      await migration.ask('pause');
      await migration.ask('abort');
      return migration;
    },
  },
  {
    name: 'lost-way-back',
    ends: FAILED,
    // Recorded when a slot of the way back that was lost was not made again.
    play: async (migrations) => {
      const migration = await migrations.start((world) => void (world.leaseMs = 300), {
        ...{ source: 'orders_old', target: 'orders_new', fence: 'trigger', switchback: '24h' },
      });
      const { world } = migration;
      await until('the slot', () => world.count('advanceReverseSlot') > 0);
      world.wayBack.slot = false;
      const before = world.count('advanceReverseSlot');
      await until('later leases', () => world.count('advanceReverseSlot') > before + 2);
      await migration.ask('abort');
      return migration;
    },
  },
  {
    name: 'cancelled-in-the-copy',
    ends: CANCELED,
    play: async (migrations) => {
      const migration = await migrations.start((world) => void world.hold('copyChunks'));
      await until('the copy', () => migration.world.isRunning('copyChunks'));
      await migration.handle.cancel();
      return migration;
    },
  },
  {
    name: 'cancelled-with-kept-slot',
    ends: FAILED,
    play: async (migrations) => {
      const migration = await migrations.streaming((world) => world.fail('dropSlot', 'Denied'));
      await migration.handle.cancel();
      return migration;
    },
  },
  {
    name: 'done-with-kept-slot',
    ends: FAILED,
    play: async (migrations) => {
      const migration = await migrations.streaming((world) => world.fail('dropSlot', 'Denied'));
      await migration.ask('cutover');
      return migration;
    },
  },
  {
    name: 'done-with-kept-control',
    ends: FAILED,
    play: async (migrations) => {
      const migration = await migrations.streaming((world) => world.fail('dropControl', 'Denied'));
      await migration.ask('cutover');
      return migration;
    },
  },
  {
    name: 'cancelled-cutover',
    ends: COMPLETED,
    // In the last step, which keeps failing: triggers are disabled again. Then cut over after all.
    play: async (migrations) => {
      const migration = await migrations.streaming((world) => {
        for (let i = 0; i < 4; i++) world.fail('enableTriggers', 'Unreachable');
        world.hold('enableTriggers');
      });
      const { world } = migration;
      const first = migration.ask('cutover');
      await until('the step to fail', async () => (await migration.progress()).cutover?.failing);
      await until('the step to be held', () => world.isRunning('enableTriggers'));
      await migration.ask('pause');
      await first;
      await migration.ask('resume');
      await until('the stream', () => world.isRunning('streamChanges'));
      await migration.ask('cutover');
      return migration;
    },
  },
  {
    name: 'failed-input',
    ends: FAILED,
    play: (migrations) => migrations.start(undefined, { source: 'orders_old' }),
  },
  {
    name: 'failed-preflight',
    ends: FAILED,
    play: (migrations) =>
      migrations.start((world) => {
        world.findings = [{ level: 'error', code: 'x', message: 'It is so', action: 'Change it.' }];
      }),
  },
  {
    name: 'failed-schema',
    ends: FAILED,
    play: (migrations) => migrations.start((world) => world.fail('createSlot', 'Denied')),
  },
  {
    name: 'continued',
    ends: CONTINUED,
    run: 'second',
    play: async (migrations) => {
      const migration = await migrations.streaming((world) => void (world.leaseMs = 100));
      const before = migration.world.count('streamChanges');
      // Two runs of the chain at least: a lease costs six events, and the second run begins after forty.
      await until('many leases', () => migration.world.count('streamChanges') > before + 20);
      await migration.ask('cutover');
      return migration;
    },
  },
];

/** The server suggests continue-as-new early enough for one scenario; never for the others. */
export const SUGGEST_AT_EVENTS = { continued: '40', others: '4096' } as const;
