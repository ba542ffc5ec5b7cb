/**
 * The way back in the workflow: its end in every way, continue-as-new, and the return, whatever fails meanwhile. On a server that
 * suggests continue-as-new after few events.
 */
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testRun } from '../support/run.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import { startOwnServer, type OwnServer } from './workflow/server.ts';
import type { World } from './workflow/world.ts';

let server: OwnServer;
let migrations: Migrations;
beforeAll(async () => {
  const processes = path.join(testRun().folder, 'processes');
  server = await startOwnServer({ 'limit.historyCount.suggestContinueAsNew': '120' }, processes);
  migrations = await Migrations.open(server.address);
});
afterAll(async () => {
  await migrations[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const INPUT = {
  ...{ source: 'orders_old', target: 'orders_new', fence: 'trigger', switchback: '24h' },
  verify: 'off',
};
/** What would send a person to the wrong database: on the way back each has its name. */
const WRONG_SIDE = /\b(the|The) (source|target)\b/;

async function onNew(
  prepare?: (world: World) => void,
  more: Record<string, unknown> = {},
): Promise<SimulatedMigration> {
  const migration = await migrations.start(prepare, { ...INPUT, ...more });
  await migration.reaches('stream');
  const answer = await migration.ask('cutover');
  expect(answer).toMatchObject({ allowed: true, text: text(/The way back is open until/) });
  await migration.reaches('reverse');
  await until('the stream', () => migration.world.isRunning('streamChanges'));
  return migration;
}

test.concurrent(
  'a slot of the way back that is lost before the cutover blocks until it is made again, which later leases try',
  async () => {
    const migration = await migrations.start((simulated) => void (simulated.leaseMs = 500), INPUT);
    const { world } = migration;
    await until('the slot', () => world.count('advanceReverseSlot') > 1);
    // A first try that fails, and the retry of it.
    for (let at = 0; at < 2; at += 1) world.fail('openWayBack', 'SlotBlocked', 'pid 7 writes');
    world.wayBack.slot = false;
    const lost = 'slot "x" does not exist on the new database';
    const notes = async () => ((await migration.progress()).notes ?? []).join();
    await until('the note', async () => (await notes()).includes(lost));
    expect(await migration.ask('cutover')).toMatchObject({
      type: 'NotReady',
      text: text(/\[no-way-back\]/),
    });
    await until('the slot again', () => world.wayBack.slot);
    await until('it to be known', async () => !(await notes()).includes('way back'));
    expect(world.count('openWayBack')).toBe(4);
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/The way back is open until/),
    });
    await migration.ask('finalize');
  },
);

test.concurrent(
  'a switch back opens the old database, keeps the new one sealed, refreshes no view, and leaves nothing',
  async () => {
    const migration = await onNew();
    const { world } = migration;
    const refreshed = world.count('refreshViews');
    const { allowed, text: answer } = await migration.ask('switchback');
    expect(answer).toMatch(/^Switched back to "orders_old": writes were stopped for 1\.2 s\./);
    expect(answer).toContain('is there (3 tables, 600 rows on both sides); materialized views');
    expect(allowed).toBe(true);
    expect(answer).not.toMatch(WRONG_SIDE);
    // Opened, and removed.
    expect(world.gate).toBeUndefined();
    expect(world.gateBack?.state).toBe('sealed');
    expect(world.count('refreshViews')).toBe(refreshed);
    expect((await migration.end()).status).toBe('COMPLETED');
    expect(world.leftovers).toEqual([]);
  },
);

test.concurrent(
  'a switch back is refused for writes that take too long, unless it accepts that itself, and not for sequences of the cutover',
  async () => {
    const migration = await onNew((world) => {
      world.readiness = { ...world.readiness, sequences: 80_000 };
    });
    const { world } = migration;
    const maxDowntimeSeconds = 10;
    expect(await migration.ask('switchback', { accept: ['index-invalid'] })).toMatchObject({
      allowed: false,
      text: text(
        /^switchback asks for no readiness: the findings that it can accept are "definition-differs" and "downtime-too-long"$/,
      ),
    });
    world.writer = { who: 'pid 7 (app)', ms: 60_000 };
    expect(await migration.ask('switchback', { maxDowntimeSeconds })).toMatchObject({
      type: 'DowntimeTooLong',
      text: text(/about 6\d s, and 10 s are permitted: the writes of pid 7/),
    });
    const accept = ['downtime-too-long'];
    expect(await migration.ask('switchback', { maxDowntimeSeconds, accept })).toMatchObject({
      allowed: true,
    });
  },
);

/** What a switch back finds of a column that was added on the new database alone. */
const LACKING = {
  differences: [
    { object: 'public.orders: column note', what: 'is on the new database only', wrong: true },
    { object: 'public.orders', what: 'has its comment on the new database only' },
  ],
  ...{ more: 0, wrong: 1, notCompared: [] },
} as const;

test.concurrent(
  'a switch back is refused for what the old database lacks, before a write is stopped, and goes on without it or when that is accepted',
  async () => {
    const [fixed, accepting] = await Promise.all([onNew(), onNew()]);
    for (const { world } of [fixed, accepting]) world.definitions = LACKING;
    const compared = fixed.world.count('compareDefinitions');
    const refusal = await fixed.ask('switchback');
    expect(refusal).toMatchObject({
      type: 'NotReady',
      text: text(
        /switch back .*not ready: blocks \[definition-differs\]: public\.orders: column note is on the new database only\. Run on "orders_old" the SQL that `walferry compare orders_new orders_old --migration /,
      ),
    });
    expect(refusal.text).not.toMatch(WRONG_SIDE);
    expect(fixed.world.count('compareDefinitions')).toBe(compared + 1);
    expect(fixed.world.count('armCutover')).toBe(accepting.world.count('armCutover'));
    expect((await fixed.progress()).phase).toBe('reverse');
    fixed.world.definitions = { ...LACKING, differences: LACKING.differences.slice(1), wrong: 0 };
    expect(await fixed.ask('switchback')).toMatchObject({
      allowed: true,
      text: text(/Public\.orders has its comment on the new database only\./),
    });
    // Who accepts it waits for no comparison: one try, whatever becomes of it.
    accepting.world.fail('compareDefinitions', 'Denied', 'no right to read the catalog');
    const accept = ['definition-differs'];
    expect(await accepting.ask('switchback', { accept })).toMatchObject({ allowed: true });
    expect(accepting.world.count('compareDefinitions')).toBe(compared + 1);
    expect(JSON.parse((await accepting.end()).text)).toMatchObject({
      record: { accepted: ['definition-differs'] },
    });
  },
);

test.concurrent(
  'what differed at the cutover, and was accepted there, does not refuse the switch back; what is new does',
  async () => {
    const [object, wrong] = ['public.orders: constraint n', true as const];
    const migration = await migrations.start((world) => {
      world.definitions = {
        ...LACKING,
        differences: [{ object, what: 'is on the source only', wrong }],
      };
    }, INPUT);
    const { world } = migration;
    await migration.reaches('stream');
    expect(await migration.ask('cutover', { accept: ['definition-differs'] })).toMatchObject({
      allowed: true,
    });
    await migration.reaches('reverse');
    const kept = { object, what: 'is on the old database only', wrong };
    world.definitions = { ...LACKING, differences: [kept, ...LACKING.differences], wrong: 2 };
    expect(await migration.ask('switchback')).toMatchObject({
      type: 'NotReady',
      text: text(
        /\[definition-differs\]: public\.orders: column note is on the new database only\. /,
      ),
    });
    world.definitions = { ...LACKING, differences: [kept] };
    expect(await migration.ask('switchback')).toMatchObject({ allowed: true });
  },
);

test.concurrent(
  'an old database that cannot be opened after the return is tried until it can, and everybody sees that no one can write',
  async () => {
    const migration = await onNew();
    const { world } = migration;
    // More than one series of tries, and a failure that no retry of Temporal repeats.
    world.fail('openOld', 'FenceRefused', 'the gate is locked');
    for (let at = 0; at < 9; at += 1) world.fail('openOld', 'Unreachable', 'no one answers');
    const answer = migration.ask('switchback');
    const shown = async () => ((await migration.progress()).notes ?? []).join();
    await until('the note', async () => (await shown()).includes('NEITHER DATABASE TAKES WRITES'));
    expect(await shown()).toContain('Bring "orders_old" up');
    expect(await migration.details()).toContain('NEITHER DATABASE TAKES WRITES');
    expect(await migration.ask('pause')).toMatchObject({
      allowed: false,
      text: text(/switch back/),
    });
    expect((await answer).allowed).toBe(true);
    expect(world.count('openOld')).toBe(11);
    expect(world.gate).toBeUndefined();
  },
);

test.concurrent(
  'rows that came to the new database after a switch back are named, and the slot that has them is kept',
  async () => {
    const migration = await onNew();
    migration.world.script('lookAtSource', () => {
      migration.world.late = ['public.orders'];
      return Promise.resolve();
    });
    const answer = await migration.ask('switchback');
    expect(answer.text).toContain('public.orders changed on "orders_new" after the switch');
    expect(await migration.end()).toMatchObject({ status: 'FAILED', type: 'SlotKept' });
    expect(migration.world.wayBack.slot).toBe(true);
    expect(migration.world.gate).toBeUndefined();
  },
);

test.concurrent(
  'what a switch back says names each database, and never the side of another direction',
  async () => {
    const migration = await onNew((simulated) => void (simulated.leaseMs = 500));
    const { world } = migration;
    const answers: string[] = [];
    const failed = async (options: Record<string, unknown> = {}): Promise<void> => {
      const answer = await migration.ask('switchback', options);
      expect(answer.allowed).toBe(false);
      answers.push(answer.text, (await migration.progress()).notes?.join() ?? '');
      await migration.reaches('reverse', 'running');
    };
    world.slipping = true;
    await failed();
    world.slipping = false;
    world.late = ['public.orders'];
    await failed();
    world.late = [];
    world.writer = { who: 'pid 7 (app)', ms: 90_000 };
    await failed();
    world.writer = undefined;
    world.hold('compareCounts');
    const box = migration.ask('switchback', { maxDowntimeSeconds: 12 });
    await until('counting', () => world.isRunning('compareCounts'));
    const shown = await migration.progress();
    answers.push(JSON.stringify([shown.cutover, shown.notes]), await migration.details());
    for (const update of ['resume', 'finalize', 'cutover', 'abort'] as const) {
      const { text: refused } = await migration.ask(update);
      if (update !== 'abort') expect(refused).not.toMatch(/\bcutover is under way/);
    }
    answers.push((await box).text);
    const paused = migration.ask('pause');
    answers.push((await paused).text);
    // A failure of the undo: only the old database knows the outcome.
    await migration.ask('resume');
    world.slipping = true;
    for (let at = 0; at < 8; at += 1) world.fail('undoCutover', 'Unreachable', 'no one answers');
    const unknown = migration.ask('switchback');
    await until('the unknown outcome', async () => {
      const { cutover } = await migration.progress();
      return cutover?.failing?.code === 'OutcomeUnknown';
    });
    const { cutover } = await migration.progress();
    expect(cutover?.failing?.action).toMatch(
      /^Bring "orders_old" back: it alone knows .* gives the writes back on "orders_new"\.$/,
    );
    answers.push((await unknown).text);
    // What the stream stops with.
    world.fail('streamChanges', 'SchemaDrift', 'public.t.v is missing on the old database');
    const waiting = await migration.reaches('reverse', 'waiting');
    expect(waiting.waiting?.action).toMatch(/on the old database.*then resume.*finalize/);
    answers.push(JSON.stringify(waiting.waiting));
    for (const one of answers) expect(one).not.toMatch(WRONG_SIDE);
    expect((await migration.ask('finalize')).allowed).toBe(true);
  },
);

test.concurrent(
  'a cancellation during a switch back undoes it, ends the way back, and tells its caller that nothing returned',
  async () => {
    const migration = await onNew();
    const { world } = migration;
    world.hold('compareCounts');
    const answer = migration.ask('switchback');
    await until('counting', () => world.isRunning('compareCounts'));
    await migration.handle.cancel();
    expect(await answer).toMatchObject({
      allowed: false,
      text: text(/cancelled.*"orders_new" stays the live database/),
    });
    expect(await migration.end()).toMatchObject({
      status: 'COMPLETED',
      text: text(/is ready/),
    });
    expect([...world.outcomesBack.values()]).toEqual(['undone']);
    expect(world.gateBack?.state).toBe('open');
    expect(world.gate?.state).toBe('sealed');
    expect(world.leftovers).toEqual([]);
  },
);

test.concurrent(
  'a cancellation of the way back ends it, and the migration is complete',
  async () => {
    const migration = await onNew();
    await migration.handle.cancel();
    expect(await migration.end()).toMatchObject({ status: 'COMPLETED' });
    expect(migration.world.leftovers).toEqual([]);
    expect(migration.world.gate?.state).toBe('sealed');
  },
);

// Not beside the others: it ends a worker, whose activities would be cancelled and tried again.
test('the way back goes on through many runs, pauses and another worker; then it returns', async () => {
  const migration = await onNew((world) => void (world.leaseMs = 100));
  const runs = async (): Promise<number> => {
    const { raw } = await migrations.client.workflow.getHandle(migration.id).describe();
    return raw.workflowExecutionInfo?.execution?.runId === migration.firstRunId ? 1 : 2;
  };
  await until('another run', async () => (await runs()) > 1);
  expect((await migration.progress()).phase).toBe('reverse');
  for (const update of ['pause', 'resume'] as const) {
    expect(await migration.ask(update)).toMatchObject({ allowed: true });
  }
  const other = await migrations.startWorker();
  await migrations.workers[0]?.shutDown();
  expect(other).toBeDefined();
  expect((await migration.ask('cutover')).text).toContain('switchback returns');
  expect((await migration.ask('switchback')).allowed).toBe(true);
  expect((await migration.end()).status).toBe('COMPLETED');
  expect(migration.world.leftovers).toEqual([]);
  expect(migration.world.mostStreams).toBe(1);
});

test.concurrent(
  'finalize keeps the old database closed or opens it, as it is asked, and says what opens it',
  async () => {
    const [plain, sealed, open] = await Promise.all([onNew(), onNew(), onNew()]);
    expect((await open.ask('finalize', { oldDatabase: 'gone' })).text).toContain('"open"');
    const answers = await Promise.all([
      plain.ask('finalize'),
      sealed.ask('finalize', { oldDatabase: 'sealed' }),
      open.ask('finalize', { oldDatabase: 'open' }),
    ]);
    expect(answers.map(({ allowed }) => allowed)).toEqual([true, true, true]);
    const [, closed, opened] = answers.map((one) => one.text);
    expect(closed).toContain(
      `"orders_old" stays closed for writes; to open it exactly as it was before: psql service=orders_old -c 'drop schema x cascade'`,
    );
    expect(opened).toContain('"orders_old" takes writes again');
    expect(plain.world.count('settleOld')).toBe(0);
    expect(open.world.gate).toBeUndefined();
    const ended = await sealed.end();
    expect(ended).toMatchObject({
      status: 'COMPLETED',
      text: text(/"leftBehind":\["the fence on /),
    });
  },
);
