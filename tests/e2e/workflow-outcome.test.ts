/** The outcome of a cutover comes first: before readiness, before an abort, and a rehearsal has none. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationRecord } from '../../contract/record.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import type { World } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const FENCED = { source: 'orders_old', target: 'orders_new', fence: 'trigger' };
const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);

const streaming = (prepare?: (world: World) => void, more = {}): Promise<SimulatedMigration> =>
  migrations.streaming(prepare, { ...FENCED, ...more });

test.concurrent(
  'a migration that an earlier run has switched completes, whatever readiness would say',
  async () => {
    const migration = await streaming((world) => {
      world.outcomes.set('earlier', 'switched');
      world.readiness = { ...world.readiness, invalidIndexes: ['public.orders_key'] };
    });
    // Measured beside the first lease.
    await until('readiness', () => migration.world.count('assessReadiness') > 0);
    const before = migration.world.count('assessReadiness');
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/^Cutover complete/),
    });
    expect(migration.world.count('assessReadiness')).toBe(before);
    expect(migration.world.count('armCutover')).toBe(0);
  },
);

test.concurrent(
  'an abort that finds that an earlier run has switched leaves what the cutover has recorded, and says so',
  async () => {
    const migration = await streaming((world) =>
      world.fail('removeFence', 'AlreadySwitched', 'cutover earlier has switched'),
    );
    expect((await migration.ask('abort')).text).toContain(
      'an earlier run of this workflow has switched, and "orders_new" is the live database',
    );
    expect((await migration.end()).status).toBe('FAILED');
    expect(migration.world.count('dropControl')).toBe(0);
    expect(migration.world.count('enableTriggers')).toBe(0);
    expect(migration.world.leftovers).toEqual(['control']);
  },
);

test.concurrent('an abort names what is left of the fence of the target', async () => {
  const migration = await streaming((world) => {
    world.targetFence = ['trigger ~walferry_fence of public.orders'];
  });
  expect((await migration.ask('abort')).text).toMatch(
    /the fence of "orders_new" is open, and parts of it are still there.* of public\.orders\); remove it: .*walferry cleanup/,
  );
});

test.concurrent(
  'the way back can be ended while the triggers of a switch back that was undone cannot be disabled',
  async () => {
    const migration = await streaming(undefined, { switchback: '24h' });
    const { world } = migration;
    expect((await migration.ask('cutover')).text).toContain('The way back is open');
    // The live database has its triggers; on the way back they are those of the old one.
    world.triggersEnabled = false;
    world.outcomes.clear();
    world.gate = undefined;
    world.script('switchCutover', () => {
      world.triggersEnabled = true;
      return Promise.reject(new Error('lost'));
    });
    world.hold('disableTriggers');
    world.fail('switchCutover', 'FenceRefused');
    expect((await migration.ask('switchback')).allowed).toBe(false);
    await until('the step after it', () => world.isRunning('disableTriggers'));
    expect(await migration.ask('finalize')).toMatchObject({ allowed: true });
    expect((await migration.end()).status).toBe('COMPLETED');
  },
);

test.concurrent.each([
  ['succeeds', (): undefined => undefined, true],
  ['fails', (world: World): void => world.fail('compareCounts', 'NotEqual'), false],
] as const)('a rehearsal that %s is no cutover that was undone', async (_, prepare, allowed) => {
  const migration = await streaming(prepare);
  expect((await migration.ask('rehearse', { fence: true })).allowed).toBe(allowed);
  const { notes = [] } = await migration.progress();
  expect(notes.join()).not.toContain('the last cutover');
  const record = await migration.handle.query<MigrationRecord>('record');
  expect(record.cutovers.map(({ kind }) => kind)).toEqual(['rehearsal']);
  await migration.ask('abort');
});

test.concurrent('a rehearsal that pause ends is called a rehearsal', async () => {
  const migration = await streaming();
  migration.world.hold('compareCounts');
  const answer = migration.ask('rehearse', { fence: true });
  await until('counting', () => migration.world.isRunning('compareCounts'));
  expect((await migration.ask('pause')).text).toMatch(/^Rehearsal cancelled\. Paused/);
  expect((await answer).text).toContain('rehearsal cancelled by the operator');
  expect((await migration.progress()).notes?.join() ?? '').not.toContain('the last cutover');
  await migration.ask('abort');
});
