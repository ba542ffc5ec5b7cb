/** Approval and window of a cutover: asked for early, it begins in its window and approved, or not at all. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { MOST_APPROVALS } from '../../contract/approval.ts';
import type { MigrationRecord } from '../../contract/record.ts';
import { drawn } from '../support/random/pick.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type Answered, type SimulatedMigration } from './workflow/migrations.ts';
import type { World } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const later = (seconds: number): string =>
  new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z/, 'Z');
const windowIn = (from: number, to: number) => ({ from: later(from), to: later(to) });

async function streaming(
  input: object,
  prepare?: (world: World) => void,
): Promise<SimulatedMigration> {
  const migration = await migrations.start(prepare, {
    ...{ source: 'orders_old', target: 'orders_new', verify: 'off', ...input },
  });
  await migration.reaches('stream');
  await until('the stream to run', () => migration.world.isRunning('streamChanges'));
  return migration;
}

const ADA = { name: 'Ada', note: 'change 4711' };

describe('with "approval": "required"', () => {
  const input = { approval: 'required' };

  test.concurrent(
    'a cutover that no one approved is answered at once, streams on, and begins with the approval',
    async () => {
      const migration = await streaming(input);
      const { world } = migration;
      expect(await migration.ask('cutover')).toMatchObject({
        allowed: true,
        text: text(
          /^Cutover asked for: it waits for approval \(update approve\)\. The update await-cutover waits/,
        ),
      });
      const stoodAt = world.confirmed;
      await until('the stream to go on', () => world.confirmed > stoodAt);
      expect(world.count('writeEndMark')).toBe(0);
      expect(await migration.progress()).toMatchObject({
        ...{ phase: 'stream', approval: 'missing', request: { unapproved: true } },
      });
      expect(await migration.details()).toMatch(/cutover asked for.*waits for approval/);
      expect(await migration.details()).toContain('--name approve');
      const end = migration.ask('await-cutover');
      await until('the wait', async () => (await updates(migration)) === 2);
      expect((await migration.ask('approve', ADA)).text).toBe(
        'Approved by Ada. The cutover that was asked for begins now.',
      );
      expect(await end).toMatchObject({
        allowed: true,
        text: text(/^Cutover complete: "orders_new" is ready/),
      });
      const { status, text: result } = await migration.end();
      expect(status).toBe('COMPLETED');
      // Who approved is in the result.
      expect(JSON.parse(result)).toMatchObject({ record: { approvals: [ADA], leftBehind: [] } });
      expect(world.leftovers).toEqual([]);
    },
  );

  test.concurrent('an approval before the request lets it begin at once', async () => {
    const migration = await streaming(input);
    expect((await migration.ask('approve', ADA)).text).toBe(
      'Approved by Ada. No cutover is asked for yet.',
    );
    expect((await migration.progress()).approval).toBe('given');
    expect((await migration.ask('cutover')).text).toMatch(/^Cutover complete/);
    expect((await migration.end()).status).toBe('COMPLETED');
  });

  test.concurrent('a request keeps what it accepts until it begins', async () => {
    const migration = await streaming(input, (world) => {
      world.readiness = { ...world.readiness, invalidIndexes: ['public.order_placed'] };
    });
    await migration.ask('cutover', { accept: ['index-invalid'] });
    const end = migration.ask('await-cutover');
    await until('the wait', async () => (await updates(migration)) === 2);
    await migration.ask('approve', ADA);
    expect(await end).toMatchObject({ allowed: true, text: text(/^Cutover complete/) });
  });

  test.concurrent('pause withdraws the request: an approval then begins nothing', async () => {
    const migration = await streaming(input);
    const { world } = migration;
    await migration.ask('cutover');
    const end = migration.ask('await-cutover');
    await until('the wait', async () => (await updates(migration)) === 2);
    expect((await migration.ask('pause')).text).toMatch(
      /^Paused at .* The cutover that was asked for is withdrawn\.$/,
    );
    expect(await end).toMatchObject({
      allowed: false,
      type: 'Cancelled',
      text: text(/withdrawn by pause/),
    });
    await migration.ask('approve', ADA);
    await migration.ask('resume');
    const stoodAt = world.confirmed;
    await until('the stream to go on', () => world.confirmed > stoodAt);
    expect(world.count('writeEndMark')).toBe(0);
    expect(await migration.ask('await-cutover')).toMatchObject({
      allowed: false,
      text: text(/withdrawn by pause/),
    });
    await migration.ask('abort');
  });

  test.concurrent(
    'a request outlives a wait for the operator, and begins after resume',
    async () => {
      const migration = await streaming(input, (world) => void (world.leaseMs = 100));
      const { world } = migration;
      await migration.ask('cutover');
      world.fail('streamChanges', 'RowMissing');
      await migration.reaches('stream', 'waiting');
      expect((await migration.ask('approve', ADA)).text).toBe(
        'Approved by Ada. The cutover that was asked for begins when the migration streams again.',
      );
      expect((await migration.progress()).request).toMatchObject({ unapproved: false });
      expect(world.count('writeEndMark')).toBe(0);
      const end = migration.ask('await-cutover');
      await until('the wait', async () => (await updates(migration)) === 3);
      await migration.ask('resume');
      expect((await end).text).toMatch(/^Cutover complete/);
      expect((await migration.end()).status).toBe('COMPLETED');
    },
  );

  test.concurrent(
    'an abort ends the request, and who waits for it hears how the migration ended',
    async () => {
      const migration = await streaming(input);
      await migration.ask('cutover');
      const end = migration.ask('await-cutover');
      await until('the wait', async () => (await updates(migration)) === 2);
      await migration.ask('abort');
      expect(await end).toMatchObject({
        allowed: false,
        type: 'Ended',
        text: text(/^the migration ended: aborted/),
      });
      expect(migration.world.leftovers).toEqual([]);
    },
  );

  test.concurrent(
    'an approval without a name, or where none is needed, is refused and changes nothing',
    async () => {
      const migration = await streaming(input);
      expect(await migration.ask('approve', {})).toMatchObject({
        type: 'Refused',
        text: text(/"name" is missing/),
      });
      expect((await migration.progress()).approvals).toBeUndefined();
      await migration.ask('abort');
      const free = await streaming({});
      expect(await free.ask('approve', ADA)).toMatchObject({
        type: 'Refused',
        text: text(/^nothing to approve/),
      });
      await free.ask('abort');
    },
  );
});

describe('with a window', () => {
  test.concurrent(
    'a cutover that is asked for early begins when the window opens, not before',
    async () => {
      const migration = await streaming({ window: windowIn(-600, 600) });
      const { world } = migration;
      const asked = await migration.ask('cutover', { window: windowIn(12, 600) });
      const { window } = await migration.progress();
      expect(asked.text).toMatch(
        /^Cutover asked for: it runs in the window from \S+ \S+ UTC to .*, or not at all\./,
      );
      expect(world.count('writeEndMark')).toBe(0);
      // A second call gets the same answer.
      expect((await migration.ask('cutover')).text).toBe(asked.text);
      expect(await migration.ask('await-cutover')).toMatchObject({
        allowed: true,
        text: text(/^Cutover complete/),
      });
      const { text: result } = await migration.end();
      const { record } = JSON.parse(result) as { record: { cutovers: { at: string }[] } };
      expect(Date.parse(record.cutovers[0]?.at ?? '')).toBeGreaterThanOrEqual(
        Date.parse(window?.from ?? ''),
      );
    },
  );

  test.concurrent(
    'that passes without an approval, the request is dropped with the reason, and a cutover needs another window, which needs another approval',
    async () => {
      const migration = await streaming({ approval: 'required' });
      const { world } = migration;
      await migration.ask('cutover', { window: windowIn(0, 12) });
      expect(await migration.ask('await-cutover')).toMatchObject({
        ...{ allowed: false, type: 'Refused' },
        text: text(
          /^the cutover did not begin: its window from .* has passed \(no one approved it\)$/,
        ),
      });
      expect((await migration.progress()).notes?.join()).toContain('did not begin: its window');
      expect((await migration.ask('approve', ADA)).text).toMatch(
        /^Approved by Ada\. The window from \S+ \S+ UTC to \S+ \S+ UTC has passed: give one that has not, cutover --input '\{"window": \{"from": …, "to": …\}\}', and approve again, because an approval holds for one window\.$/,
      );
      expect(await migration.ask('cutover')).toMatchObject({
        type: 'Refused',
        text: text(/has passed: give one that has not/),
      });
      const next = { window: windowIn(-1, 600) };
      expect((await migration.ask('cutover', next)).text).toMatch(/waits for approval/);
      expect(world.count('writeEndMark')).toBe(0);
      await migration.ask('approve', { name: 'Bob' });
      expect((await migration.end()).status).toBe('COMPLETED');
    },
  );

  test.concurrent.each([
    ['', {}],
    [', which was approved', { approval: 'required' }],
  ])(
    'a call that is refused leaves the request that waits for its window as it was%s',
    async (_, more) => {
      let release = (): void => undefined;
      const migration = await streaming(
        { fence: 'trigger', verify: 'before-cutover', ...more },
        (world) => void (release = world.hold('comparePieces')),
      );
      const { world } = migration;
      await until('a comparison', () => world.isRunning('comparePieces'));
      const [night, noon] = [windowIn(3_600, 7_200), windowIn(-60, 600)];
      for (const window of [noon, night]) {
        if ('approval' in more) {
          await migration.ask('cutover', { window });
          await migration.ask('approve', ADA);
        }
      }
      await migration.ask('cutover', { window: night });
      const { window, request, approvals } = await migration.progress();
      expect(Date.parse(window?.from ?? '')).toBe(Date.parse(night.from));
      expect(await migration.ask('cutover', { window: noon })).toMatchObject({
        type: 'NotReady',
        text: text(/^cutover refused, the verification continues/),
      });
      const kept = { phase: 'stream', window, request, ...(approvals ? { approvals } : {}) };
      expect(await migration.progress()).toMatchObject(kept);
      release();
      await until('its end', async () => (await migration.progress()).verification?.last);
      const stoodAt = world.confirmed;
      await until('the stream to go on', () => world.confirmed > stoodAt);
      expect(await migration.progress()).toMatchObject(kept);
      expect(world.count('armCutover')).toBe(0);
      // Without another window the call is about the request that waits.
      expect((await migration.ask('cutover')).text).toMatch(/^Cutover asked for: it runs in/);
      await migration.ask('abort');
    },
  );

  test.concurrent('a cutover within it runs as without one', async () => {
    const migration = await streaming({ window: windowIn(-60, 600) });
    expect((await migration.ask('cutover')).text).toMatch(/^Cutover complete/);
  });

  test.concurrent(
    'in local time is turned into UTC once, in a step whose result the history keeps',
    async () => {
      const window = {
        from: '2199-06-01T01:00 Europe/Berlin',
        to: '2199-06-01T05:00 Europe/Berlin',
      };
      const migration = await streaming({ window });
      expect((await migration.progress()).window).toEqual({
        ...{ from: '2199-05-31T23:00:00.000Z', to: '2199-06-01T03:00:00.000Z' },
      });
      expect((await migration.activities())[0]).toBe('resolveWindow');
      await migration.ask('abort');
    },
  );

  test.concurrent.each([
    [
      'happens twice',
      { from: '2026-10-25T02:30 Europe/Berlin', to: '2199-01-01T00:00Z' },
      /happens twice/,
    ],
    ['has passed', { from: '2020-01-01T00:00Z', to: '2020-01-01T01:00Z' }, /window .* has passed/],
  ])('that %s ends the migration before anything is changed', async (_, window, words) => {
    const migration = await migrations.start(undefined, { source: 'a', target: 'b', window });
    expect(await migration.end()).toMatchObject({
      status: 'FAILED',
      type: 'InvalidInput',
      text: text(words),
    });
    expect(migration.world.count('preflight')).toBe(0);
  });
});

describe('whatever is asked for, in any order,', () => {
  test('a cutover begins only in a window that is open and approved, and the last one completes', async () => {
    const pick = drawn();
    const migration = await streaming({ approval: 'required' }, (world) => {
      world.leaseMs = 200;
    });
    const { world } = migration;
    const waits: Promise<Answered>[] = [];
    let approved = 0;
    const windows = [
      [-60, 600],
      [5, 600],
      [6, 600],
      [-60, 2],
    ] as const;
    for (let step = 0; step < 80; step += 1) {
      world.equal = pick.chance(0.1);
      const [from, to] = pick.one(windows);
      const options = pick.chance(0.6) ? { window: windowIn(from, to) } : {};
      const asks: (() => Promise<unknown>)[] = [
        // A cutover that begins at once answers with its end: the next request need not wait for it.
        () => Promise.resolve(void waits.push(migration.ask('cutover', options))),
        async () => {
          approved += 1;
          if (approved < MOST_APPROVALS / 2) await migration.ask('approve', { name: 'Bob' });
        },
        () => migration.ask('pause'),
        () => migration.ask('resume'),
        () => Promise.resolve(void waits.push(migration.ask('await-cutover'))),
        () => sleep(pick.below(300)),
      ];
      await pick.one(asks)();
      if ((await migration.handle.describe()).status.name !== 'RUNNING') break;
    }
    world.equal = true;
    if ((await migration.handle.describe()).status.name === 'RUNNING') await end(migration);
    await Promise.all(waits.map((one) => one.catch(() => undefined)));
    const { status, text: result } = await migration.end();
    expect(status).toBe('COMPLETED');
    const { record } = JSON.parse(result) as { record: MigrationRecord };
    const { cutovers, approvals = [] } = record;
    expect(cutovers.at(-1)?.end?.how).toBe('done');
    for (const cutover of cutovers) {
      const allowed = approvals.some(
        ({ at, window }) =>
          at <= cutover.at && (!window || (window.from <= cutover.at && cutover.at < window.to)),
      );
      expect(allowed, JSON.stringify({ cutover, approvals })).toBe(true);
    }
    expect(world.leftovers).toEqual([]);
  });

  /** A cutover that is undone meanwhile had differing counts: it is asked for again. */
  async function end(migration: SimulatedMigration): Promise<void> {
    await until('the last cutover', async () => {
      if ((await migration.handle.describe()).status.name !== 'RUNNING') return true;
      await migration.ask('resume');
      void migration.ask('cutover', { window: windowIn(-60, 600) }).catch(() => undefined);
      // Few: the state keeps the newest approvals only.
      const missing = await migration.progress().then(({ approval }) => approval === 'missing');
      if (missing) await migration.ask('approve', ADA).catch(() => undefined);
      return false;
    });
  }
});

/** Updates that the workflow has accepted. */
async function updates(migration: SimulatedMigration): Promise<number> {
  const { events } = await migration.handle.fetchHistory();
  return (events ?? []).filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes)
    .length;
}
