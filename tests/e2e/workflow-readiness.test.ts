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
  'a finding that is accepted by name does not refuse that cutover, is shown later, and is not accepted for the next one',
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
    const { accepted, readiness } = await migration.progress();
    expect({ accepted, ready: readiness?.ready }).toEqual({
      accepted: ['index-invalid'],
      ready: false,
    });
    expect(readiness).not.toHaveProperty('accepted');
    expect(await migration.ask('cutover', { accept: ['sequence-unreadable'] })).toMatchObject({
      type: 'NotReady',
      text: text(/^cutover refused, streaming continues: not ready: blocks \[index-invalid\]/),
    });
    const accept = ['index-invalid', 'sequence-unreadable'];
    expect(await migration.ask('cutover', { accept })).toMatchObject({ allowed: true });
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

/** A missing column makes the target wrong, a missing comment does not. */
const DIFFERING = {
  differences: [
    { object: 'public.orders: column note', what: 'is on the source only', wrong: true },
    { object: 'public.orders', what: 'has its comment on the source only' },
  ],
  ...{ more: 0, wrong: 1, notCompared: [] },
} as const;

test.concurrent(
  'definitions are compared with a verification and before a cutover, which refuses what makes the target wrong',
  async () => {
    const migration = await migrations.streaming();
    const { world } = migration;
    world.definitions = DIFFERING;
    expect((await migration.ask('verify')).text).toMatch(
      / The definitions have 2 differences, 1 of them makes the target wrong: public\.orders: column note is on the source only; public\.orders has its comment on the source only\.$/,
    );
    expect(world.count('compareDefinitions')).toBe(1);
    expect(await migration.progress()).toMatchObject({ definitions: { report: DIFFERING } });
    expect(await migration.ask('cutover')).toMatchObject({
      type: 'NotReady',
      text: text(
        /not ready: blocks \[definition-differs\]: public\.orders: column note is on the source only\. Run on the target the SQL that `walferry compare/,
      ),
    });
    expect(world.count('compareDefinitions')).toBe(2);
    expect(world.count('writeEndMark')).toBe(0);
    // What the operator has run since is found before the next one.
    world.definitions = { ...DIFFERING, differences: DIFFERING.differences.slice(1), wrong: 0 };
    expect(await migration.ask('cutover')).toMatchObject({ allowed: true });
    expect(JSON.parse((await migration.end()).text)).toMatchObject({
      differences: ['public.orders has its comment on the source only'],
    });
  },
);

const STALE = {
  object: 'public.kept',
  what: 'shows other rows on the target, and the cutover does not refresh it',
  state: 'stays',
} as const;
const LATER = {
  object: 'public.fresh',
  what: 'shows other rows on the target, and the cutover refreshes it there',
  state: 'later',
} as const;

test.concurrent(
  'the contents of materialized views are compared with a verification, and what the cutover does not refresh warns until the next one and is in the result',
  async () => {
    const migration = await migrations.streaming();
    const { world } = migration;
    const equal = { differences: [], more: 0, wrong: 0, notCompared: [] };
    world.definitions = { ...equal, views: { equal: 1, found: [STALE, LATER], more: 0 } };
    expect((await migration.ask('verify')).text).toMatch(
      / Definitions do not differ\. 1 materialized view shows the same rows on both sides\. Materialized views: public\.kept shows other rows on the target, and the cutover does not refresh it; public\.fresh shows .* refreshes it there\.$/,
    );
    // What is compared before a cutover says nothing of contents.
    world.definitions = equal;
    world.readiness = { ...world.readiness, slot: null };
    expect((await migration.ask('cutover')).text).toContain('[slot-lost]');
    const findings = (await migration.progress()).readiness?.findings ?? [];
    expect(findings.filter(({ code }) => code === 'definition-other')).toMatchObject([
      { level: 'warns', text: `public.kept ${STALE.what}` },
    ]);
    expect(await migration.ask('cutover', { accept: ['slot-lost'] })).toMatchObject({
      allowed: true,
    });
    expect(JSON.parse((await migration.end()).text)).toMatchObject({
      differences: [`public.kept ${STALE.what}`],
    });
  },
);

test.concurrent(
  'a comparison that fails does not hold back the result of the rows, and is said',
  async () => {
    const migration = await migrations.streaming();
    for (let tries = 0; tries < 4; tries += 1) {
      migration.world.fail('compareDefinitions', 'Denied', 'no right to read the catalog');
    }
    expect((await migration.ask('verify')).text).toMatch(
      /^Equal: .* Definitions were not compared: no right to read the catalog\.$/,
    );
    await migration.ask('abort');
  },
);

test.concurrent(
  'a target that is wrong by definition is cut over to when the operator accepts it, which the record keeps',
  async () => {
    const migration = await migrations.streaming();
    migration.world.definitions = DIFFERING;
    expect(await migration.ask('cutover', { accept: ['definition-differs'] })).toMatchObject({
      allowed: true,
    });
    const { status, text: result } = await migration.end();
    expect(status).toBe('COMPLETED');
    expect(JSON.parse(result)).toMatchObject({
      differences: [
        'public.orders: column note is on the source only',
        'public.orders has its comment on the source only',
      ],
      record: { accepted: ['definition-differs'], definitions: { report: DIFFERING } },
    });
  },
);
