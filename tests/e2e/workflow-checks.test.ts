/** What a cutover with a fence compares while no one writes, and how its time is known before. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporalServer } from '../support/temporal.ts';
import { Migrations } from './workflow/migrations.ts';
import type { World } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const FENCED = { source: 'orders_old', target: 'orders_new', fence: 'trigger', verify: 'off' };
const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const streaming = (prepare?: (world: World) => void) => migrations.streaming(prepare, FENCED);

test.concurrent(
  'rows that changed since the last verification are compared by default',
  async () => {
    const migration = await streaming((world) => {
      world.changed = { ...world.changed, notCompared: ['public.log: it has no key'] };
    });
    expect((await migration.ask('cutover')).text).toMatch(
      /600 rows on both sides, 14 rows changed since the verification at 0\/1000 and are the same \[only counted: public\.log: it has no key/,
    );
    expect(migration.world.count('compareEveryRow')).toBe(0);
  },
);

test.concurrent('the answer says when there was no verification to start from', async () => {
  const migration = await streaming((world) => {
    world.changed = { since: null, tables: 0, rows: 0, notCompared: [] };
  });
  const answer = await migration.ask('cutover');
  expect(answer.text).toContain('no verification to compare changed rows with');
});

test.concurrent('rows that differ undo the cutover, and its answer names their table', async () => {
  const migration = await streaming((world) =>
    world.fail('compareChanged', 'NotEqual', 'rows differ: public.orders (2)'),
  );
  expect(await migration.ask('cutover')).toMatchObject({
    ...{ allowed: false, type: 'NotEqual' },
    text: text(/cutover undone, streaming continues: .*public\.orders \(2\)/),
  });
  expect([...migration.world.outcomes.values()]).toEqual(['undone']);
  expect(migration.world.gate?.state).toBe('open');
  await migration.ask('abort');
});

test.concurrent.each([
  ['full', { compareEveryRow: 1, compareChanged: 0 }],
  ['exact', { compareEveryRow: 0, compareChanged: 0 }],
] as const)('on request it is another comparison: %s', async (compare, counts) => {
  const migration = await streaming();
  expect(await migration.ask('cutover', { compare })).toMatchObject({
    allowed: true,
    text: text(
      compare === 'full' ? /, each of the 600 rows is the same/ : /600 rows on both sides, 5 seq/,
    ),
  });
  expect(migration.world.count('compareEveryRow')).toBe(counts.compareEveryRow);
  expect(migration.world.count('compareChanged')).toBe(counts.compareChanged);
});

test.concurrent(
  'checks that take longer than the writes may be stopped refuse the cutover before it stops one, and the next one measures again',
  async () => {
    const migration = await streaming((world) => {
      world.checkSeconds = 40;
    });
    expect(await migration.ask('cutover')).toMatchObject({
      ...{ allowed: false, type: 'DowntimeTooLong' },
      text: text(/checking the rows 40\.0 s.*No write was stopped/),
    });
    expect(migration.world.count('armCutover')).toBe(0);
    expect((await migration.ask('rehearse')).text).toMatch(/its checks take 40 s/);
    migration.world.checkSeconds = 0.2;
    expect((await migration.ask('cutover')).allowed).toBe(true);
  },
);

test.concurrent(
  'what the operator runs after the release is reported, and undoes nothing',
  async () => {
    const migration = await streaming((world) => {
      world.afterRelease = {
        ...{ statements: 1, failed: { statement: 2, sqlstate: '42P01' } },
        ...{ command: null, commandFailed: null },
      };
    });
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(
        /After the release: 1 of your statements ran on the target; statement 2 failed \(SQLSTATE 42P01\), and nothing after it was run\.$/,
      ),
    });
    expect([...migration.world.outcomes.values()]).toEqual(['switched']);
  },
);

test.concurrent(
  'a step after the release that cannot be done does not fail the migration',
  async () => {
    const migration = await streaming((world) =>
      world.fail('afterRelease', 'Internal', 'no worker'),
    );
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/The steps after the release failed \(no worker\)/),
    });
  },
);

test.concurrent(
  'the operator’s own steps run after the slot is dropped, and not again where an earlier run has switched',
  async () => {
    const migration = await streaming();
    const { world } = migration;
    let slot: boolean | undefined;
    world.script('afterRelease', () => {
      slot = world.slot;
      return Promise.resolve();
    });
    expect((await migration.ask('cutover')).allowed).toBe(true);
    expect(slot).toBe(false);
    const again = await streaming();
    again.world.outcomes.set('a run before a reset', 'switched');
    expect(await again.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/ An earlier run of this workflow has switched: cutover\.afterRelease/),
    });
    expect(again.world.count('afterRelease')).toBe(0);
  },
);
