/** Readiness in the workflow: shown while changes are streamed, and asked before a cutover changes anything. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations } from './workflow/migrations.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
/** An index that is not valid: a finding that blocks. */
const BROKEN = ['public.order_placed'];

test.concurrent(
  'readiness is measured beside the first lease and shown, with the estimate',
  async () => {
    const migration = await migrations.streaming((world) => {
      world.readiness = {
        ...world.readiness,
        writer: { pid: 7, application: 'app', seconds: 20 },
        unanalyzed: ['public.order'],
      };
    });
    const { readiness } = await until('readiness', async () => {
      const progress = await migration.progress();
      return progress.readiness ? progress : null;
    });
    expect(readiness).toMatchObject({ ready: true, estimateSeconds: 21 });
    expect(readiness?.findings.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['not-analyzed', 'long-writer']),
    );
    await migration.ask('abort');
  },
);

test.concurrent(
  'a cutover that is not ready is refused with the list, before anything is changed',
  async () => {
    const migration = await migrations.streaming();
    const { world } = migration;
    world.readiness = { ...world.readiness, invalidIndexes: BROKEN, slot: null };
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: false,
      type: 'NotReady',
      text: text(
        /^cutover refused, streaming continues: not ready: .*\[slot-lost\].*\[index-invalid\]: not valid on the target: public\.order_placed/,
      ),
    });
    for (const step of [
      'writeEndMark',
      'compareCounts',
      'enableTriggers',
      'setSequences',
    ] as const) {
      expect(world.count(step)).toBe(0);
    }
    expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
    expect((await migration.progress()).readiness).toMatchObject({ ready: false });
    await migration.ask('abort');
  },
);

test.concurrent(
  'a finding that is accepted by name does not refuse the cutover, stays in progress, and accepts no other',
  async () => {
    const migration = await migrations.streaming();
    const { world } = migration;
    world.readiness = {
      ...world.readiness,
      invalidIndexes: BROKEN,
      unreadableSequences: ['public.s'],
    };
    expect(await migration.ask('cutover', { accept: ['index-invalid'] })).toMatchObject({
      type: 'NotReady',
      text: expect.not.stringMatching(/index-invalid/) as unknown,
    });
    expect(await migration.progress()).toMatchObject({ accepted: ['index-invalid'] });
    // Kept from the call before.
    expect(await migration.ask('cutover', { accept: ['sequence-unreadable'] })).toMatchObject({
      allowed: true,
    });
    expect((await migration.end()).status).toBe('COMPLETED');
  },
);

test.concurrent.each([['index-broken'], ['not-analyzed']])(
  'a name that is no finding that blocks is refused: %s',
  async (name) => {
    const migration = await migrations.streaming();
    expect(await migration.ask('cutover', { accept: [name] })).toMatchObject({
      allowed: false,
      type: 'Refused',
      text: text(/"accept" must be a list of findings that can block a cutover: slot-lost/),
    });
    expect(migration.world.count('writeEndMark')).toBe(0);
    await migration.ask('abort');
  },
);
