/** The operator's updates and their answers: pause, resume, cutover, abort, in every phase. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import type { FailureCode } from '../../contract/failure-catalogue.ts';
import { formatLsn } from '../../contract/lsn.ts';
import type { Phase, RunState } from '../../contract/progress.ts';
import { UPDATES, rule, type UpdateName } from '../../workflows/state/policy.ts';
import { ALL_STAGES, STAGES } from '../../workflows/state/stage.ts';
import { temporal, temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import type { StepName } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const LSN = /[0-9A-F]+\/[0-9A-F]+/;

/** Updates that change nothing where they are allowed in a running migration: safe to send. */
const HARMLESS: readonly UpdateName[] = ['resume'];

describe('every update in every phase is answered as the table says', () => {
  const held: [Phase, StepName][] = [
    ['preflight', 'preflight'],
    ['schema', 'copySchema'],
    ['snapshot', 'copyChunks'],
    ['indexes', 'buildIndexes'],
  ];
  test.concurrent.each(held)('running in %s', async (phase, step) => {
    const migration = await migrations.start((world) => void world.hold(step));
    await migration.reaches(phase);
    await askEverything(migration, phase, 'running');
    await migration.ask('abort');
  });

  const waiting: [Phase, StepName][] = [
    ['snapshot', 'copyChunks'],
    ['indexes', 'buildIndexes'],
    ['indexes', 'buildConstraints'],
    ['stream', 'streamChanges'],
  ];
  test.concurrent.each(waiting)('waiting in %s (%s)', async (phase, step) => {
    const migration = await migrations.start((world) => world.fail(step, 'Denied'));
    await migration.reaches(phase, 'waiting');
    await askEverything(migration, phase, 'waiting');
    await migration.ask('abort');
  });

  test.concurrent('in the cutover', async () => {
    const migration = await migrations.streaming();
    migration.world.hold('compareCounts');
    const cutover = migration.ask('cutover');
    await until('counting', () => migration.world.isRunning('compareCounts'));
    await askEverything(migration, 'cutover', 'running');
    await Promise.all([migration.ask('abort'), cutover]);
  });

  /** The stage that shows itself so, before any end. */
  function stageOf(phase: Phase, state: RunState) {
    const at = ALL_STAGES.find((one) => STAGES[one].phase === phase && STAGES[one].state === state);
    if (at === undefined) throw new Error(`no stage shows ${phase} and ${state}`);
    return at;
  }

  async function askEverything(migration: SimulatedMigration, phase: Phase, state: RunState) {
    for (const update of UPDATES) {
      const ruling = rule(update, stageOf(phase, state));
      if (ruling.allowed && (!HARMLESS.includes(update) || state !== 'running')) continue;
      expect(await migration.ask(update), update).toMatchObject(
        ruling.allowed
          ? { allowed: true, text: `The migration is running, in phase ${phase}.` }
          : { allowed: false, type: 'Refused', text: ruling.text },
      );
    }
  }
});

describe('pause and resume', () => {
  test.concurrent(
    'pause answers with the LSN at which the target stopped, resume continues from it',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      const [first, second] = await Promise.all([migration.ask('pause'), migration.ask('pause')]);
      expect(first.text).toMatch(/^Paused at [0-9A-F]+\/[0-9A-F]+: everything committed before it/);
      expect(second.text).toBe(first.text);
      expect((await migration.ask('pause')).text).toBe(first.text);
      const { state, confirmedLsn } = await migration.progress();
      expect(state).toBe('paused');
      expect(LSN.exec(first.text)?.[0]).toBe(confirmedLsn);
      expect(world.isRunning('streamChanges')).toBe(false);
      const stoodAt = world.confirmed;
      const resumed = await migration.ask('resume');
      expect(resumed.text).toBe(`Streaming again from ${confirmedLsn}.`);
      await until('the stream to continue', () => world.confirmed > stoodAt);
      expect((await migration.ask('resume')).text).toBe(
        'The migration is running, in phase stream.',
      );
      expect(world.count('fenceStream')).toBe(0);
      await migration.ask('abort');
    },
  );

  test.concurrent('a resume right after a pause leaves no update unanswered', async () => {
    const migration = await migrations.streaming();
    for (let i = 0; i < 10; i++) {
      const pause = await migration.handle.startUpdate<string, []>('pause', {
        waitForStage: 'ACCEPTED',
      });
      expect(await migration.ask('resume')).toMatchObject({ allowed: true });
      // The stream may have stopped before the resume came.
      expect(await pause.result()).toMatch(
        /^(Paused at|The stream stopped at \S+ and continues: a later resume)/,
      );
    }
    expect((await migration.progress()).state).toBe('running');
    await migration.ask('abort');
  });

  test.concurrent(
    'a stream that ends without its checkpoint after a pause is fenced before the answer',
    async () => {
      const migration = await migrations.start((world) => {
        // The attempt neither sends heartbeats nor stops, like a frozen machine: it times out.
        world.script('streamChanges', () => new Promise((resolve) => setTimeout(resolve, 25_000)));
      });
      await until('the stream to run', () => migration.world.isRunning('streamChanges'));
      expect(await migration.ask('pause')).toMatchObject({
        allowed: true,
        text: text(/^Paused at/),
      });
      expect(migration.world.count('fenceStream')).toBe(1);
      expect((await migration.progress()).state).toBe('paused');
      await migration.ask('abort');
    },
  );

  test.concurrent.each(['abort', 'cancel'] as const)(
    'a pause reports that the migration ended when an %s came while the stream was stopping',
    async (how) => {
      const migration = await migrations.start();
      const { world } = migration;
      let open: () => void = () => undefined;
      const released = new Promise<void>((resolve) => (open = resolve));
      world.script('streamChanges', () => released);
      await until('the stream to run', () => world.isRunning('streamChanges'));
      const pause = migration.ask('pause');
      await migration.reaches('stream', 'paused');
      const other = how === 'abort' ? migration.ask('abort') : migration.handle.cancel();
      if (how === 'abort') await migration.reaches('aborted');
      else await other;
      open();
      expect(await pause).toMatchObject({
        ...{ allowed: false, type: 'Ended' },
        text: text(/^the migration ended while it was being paused/),
      });
      await other;
      await migration.end();
      expect(world.leftovers).toEqual([]);
    },
  );

  test.concurrent(
    'a pause while the target is unavailable returns when the stream has stopped, reports an unknown position, and updates it later',
    async () => {
      const migration = await migrations.start((world) => {
        world.script('streamChanges', (work) => failWhenStopped(work.signal));
        for (let i = 0; i < 1_000; i++) world.fail('fenceStream', 'Unreachable', 'away');
      });
      const { world } = migration;
      await until('the stream to run', () => world.isRunning('streamChanges'));
      const { confirmedLsn } = await migration.progress();
      const { text: answer } = await migration.ask('pause');
      expect(answer).toMatch(
        /^Paused: the stream has stopped, but its position is not known yet \(away\)/,
      );
      expect(answer).toContain(`Everything committed before ${confirmedLsn}, the last checkpoint`);
      expect(await migration.progress()).toMatchObject({ state: 'paused', phase: 'stream' });
      expect((await migration.progress()).notes?.join()).toMatch(
        /its position is not known yet; the position shown .*: away/,
      );
      expect((await migration.ask('pause')).text).toBe(answer);
      world.clear('fenceStream');
      await until('the position', async () => {
        const { notes } = await migration.progress();
        return !notes?.join().includes('the position shown');
      });
      expect((await migration.ask('pause')).text).toMatch(/^Paused at .*1 transaction applied/);
      await migration.ask('abort');
    },
  );

  test.concurrent('a resume does not wait for the position of an unavailable target', async () => {
    const migration = await migrations.start((world) => {
      world.script('streamChanges', (work) => failWhenStopped(work.signal));
      for (let i = 0; i < 1_000; i++) world.fail('fenceStream', 'Unreachable', 'away');
    });
    const { world } = migration;
    await until('the stream to run', () => world.isRunning('streamChanges'));
    await migration.ask('pause');
    expect((await migration.ask('resume')).text).toMatch(/^Streaming again from/);
    const stoodAt = world.confirmed;
    await until('the stream to continue', () => world.confirmed > stoodAt);
    expect((await migration.progress()).notes?.join()).not.toMatch(/the position shown/);
    expect((await migration.ask('cutover')).allowed).toBe(true);
  });

  test.concurrent(
    'a pause whose fencing fails reports it, and the migration waits for the operator',
    async () => {
      const migration = await migrations.start((world) => {
        world.script('streamChanges', (work) => failWhenStopped(work.signal));
        world.fail('fenceStream', 'CheckpointMissing', 'the control schema is gone');
      });
      await until('the stream to run', () => migration.world.isRunning('streamChanges'));
      expect(await migration.ask('pause')).toMatchObject({
        allowed: false,
        text: text(/did not stop at a known position: the control schema is gone/),
      });
      expect((await migration.progress()).waiting).toMatchObject({ code: 'CheckpointMissing' });
      await migration.ask('abort');
    },
  );
});

/** An error without an answer, as when a connection breaks while the stream is being stopped. */
function failWhenStopped(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('connection terminated')));
  });
}

describe('cutover', () => {
  test.concurrent('a second call joins the first, and both get the answer', async () => {
    const migration = await migrations.streaming();
    const release = migration.world.hold('compareCounts');
    const first = migration.ask('cutover');
    await until('counting', () => migration.world.isRunning('compareCounts'));
    const second = migration.ask('cutover');
    await until('both to be accepted', async () => (await accepted(migration)) === 2);
    // A call with other input does not join silently.
    expect(await migration.ask('cutover', { compare: 'off' })).toMatchObject({
      allowed: false,
      text: text(/a cutover with \{"compare": "changed", "maxDowntimeSeconds": 30\} is under way/),
    });
    release();
    expect(await second).toEqual(await first);
    expect(migration.world.count('writeEndMark')).toBe(1);
    expect((await migration.end()).status).toBe('COMPLETED');
  });

  test.concurrent('works while the stream is paused', async () => {
    const migration = await migrations.streaming();
    await migration.ask('pause');
    expect((await migration.ask('cutover')).allowed).toBe(true);
    expect((await migration.end()).status).toBe('COMPLETED');
  });

  test.concurrent.each<[string, (migration: SimulatedMigration) => void, string, RegExp]>([
    [
      'unequal counts',
      ({ world }) => world.fail('compareCounts', 'NotEqual', 'public.orders: 600 and 599 rows'),
      'NotEqual',
      /^cutover undone, streaming continues: public\.orders: 600 and 599 rows/,
    ],
    [
      'a late write',
      ({ world }) => void (world.late = ['public.orders', 'public.item']),
      'StillWriting',
      /public\.orders, public\.item changed after the end mark .*: stop the writers/,
    ],
    [
      'a change that cannot be applied',
      ({ world }) => world.script('streamChanges', () => Promise.reject(new Error('never shown'))),
      'Internal',
      /^cutover undone, streaming continues: streamChanges: failed \(Error\)/,
    ],
  ])(
    '%s undoes it with the reason, keeps the slot, and streaming continues',
    async (_, spoil, type, reason) => {
      const migration = await migrations.streaming();
      const { world } = migration;
      spoil(migration);
      expect(await migration.ask('cutover')).toMatchObject({
        allowed: false,
        type,
        text: text(reason),
      });
      expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
      expect(world).toMatchObject({ slot: true, control: true });
      // The answer comes before the stream's first step.
      await until('the triggers to be disabled', () => !world.triggersEnabled);
      const stoodAt = world.confirmed;
      await until('the stream to continue', () => world.confirmed > stoodAt);
      world.late = [];
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(world.leftovers).toEqual([]);
    },
  );

  test.concurrent(
    'accepts the comparison as its input, and refuses anything else by name',
    async () => {
      const migration = await migrations.streaming();
      for (const wrong of [
        { compare: 'roughly' },
        { speed: 1 },
        'off',
        ['off'],
        { compare: 'off', x: 1 },
      ]) {
        expect(await migration.ask('cutover', wrong)).toMatchObject({
          allowed: false,
          text: text(
            /^omit the input of cutover, or give \{"compare": "changed", "full", "exact" or "off"\}/,
          ),
        });
      }
      expect((await migration.ask('cutover', { compare: 'off' })).text).toMatch(/not compared/);
      expect(migration.world.count('compareCounts')).toBe(0);
    },
  );

  test.concurrent(
    'the Temporal CLI prints answers and refusals as one readable sentence',
    async () => {
      const migration = await migrations.streaming();
      const ask = (name: string, ...words: string[]) =>
        temporal(
          ...['workflow', 'update', 'execute', '--address', temporalServer().address],
          ...['-w', migration.id, '--name', name, ...words],
        );
      expect((await ask('pause')).stdout).toMatch(/Result\s+Paused at [0-9A-F]+\/[0-9A-F]+: every/);
      expect((await ask('resume')).stdout).toContain('Streaming again from');
      const refused = await ask('cutover', '--input', '{"compare": "never"}');
      expect(refused).toMatchObject({ stderr: text(/omit the input of cutover/) });
      expect(refused.code).not.toBe(0);
      const first = await ask('cutover', '--update-id', 'go');
      expect(first.stdout).toContain('Cutover complete');
      // Sent again with the same id after the end: the stored answer.
      expect((await ask('cutover', '--update-id', 'go')).stdout).toContain('Cutover complete');
    },
  );
});

describe('cancelling the cutover', () => {
  /** A cutover in a step whose database is down, and the answer to its caller. */
  async function stuckIn(step: StepName, away = 1_000) {
    const migration = await migrations.streaming();
    const { world } = migration;
    for (let i = 0; i < away; i++) world.fail(step, 'Unreachable', `${step}: no answer`);
    const cutover = migration.ask('cutover');
    const failing = await until(
      'the failing step to be shown',
      async () => {
        const { cutover } = await migration.progress();
        return cutover?.failing && cutover;
      },
      { seconds: 30 },
    );
    return { migration, world, cutover, failing };
  }

  const steps: [StepName, string, boolean][] = [
    ['writeEndMark', 'write end mark', false],
    ['streamChanges', 'drain to ', false],
    ['compareCounts', 'compare row counts', false],
    ['setSequences', 'set sequences', false],
    ['enableTriggers', 'enable triggers', true],
    ['laterChanges', 'check for late writes', true],
  ];
  test.concurrent.each(steps)(
    'a cutover whose %s keeps failing is shown and can be cancelled; the stream continues and a later cutover works',
    async (step, label, triggers) => {
      const { migration, world, cutover, failing } = await stuckIn(step);
      expect(failing).toMatchObject({
        step: text(new RegExp(`^${label}`)),
        failing: {
          ...{ code: 'Unreachable', reason: `${step}: no answer` },
          action: text(/retried automatically; pause cancels the cutover/),
        },
      });
      expect(await migration.progress()).toMatchObject({ phase: 'cutover', state: 'running' });
      await askTheTable(migration);
      expect(await migration.ask('pause')).toMatchObject({
        allowed: true,
        // A failed drain does not report what it applied.
        text: text(
          step === 'streamChanges'
            ? /^Cutover cancelled\. Paused: .* not known yet .*Everything committed before [0-9A-F]+\/[0-9A-F]+/
            : /^Cutover cancelled\. Paused at [0-9A-F]+\/[0-9A-F]+: everything committed/,
        ),
      });
      expect(await cutover).toMatchObject({
        ...{ allowed: false, type: 'Cancelled' },
        text: text(
          triggers
            ? /cancelled by the operator in step "(enable triggers|check for late writes)".*disabled again before the next/
            : /cancelled by the operator in step.*slot is kept.*no trigger was enabled/,
        ),
      });
      expect(await migration.progress()).toMatchObject({
        ...{ phase: 'stream', state: 'paused', cutover: null },
      });
      expect(world).toMatchObject({ slot: true, control: true });
      world.clear(step);
      await migration.ask('resume');
      const stoodAt = world.confirmed;
      await until('the stream to continue', () => world.confirmed > stoodAt);
      expect(world.count('disableTriggers')).toBe(triggers ? 1 : 0);
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(world).toMatchObject({ leftovers: [], triggersEnabled: true });
    },
  );

  /** Refusals in phases that do not allow pause. */
  async function askTheTable(migration: SimulatedMigration) {
    const ruling = rule('resume', 'cuttingOver');
    expect(await migration.ask('resume')).toEqual({
      ...{ allowed: false, type: 'Refused' },
      text: ruling.allowed ? '' : ruling.text,
    });
  }

  test.concurrent(
    'a step that fails and then succeeds is no longer shown as failing, and the cutover completes automatically',
    async () => {
      const { migration, cutover } = await stuckIn('setSequences', 4);
      expect((await cutover).text).toMatch(/^Cutover complete/);
      expect(await migration.progress()).toMatchObject({ phase: 'done', cutover: null });
    },
  );

  test.concurrent(
    'triggers that were already enabled when the cutover was cancelled are disabled before the next change is applied',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      // The work is done on the target, and its answer is lost.
      world.script('enableTriggers', async (work) => {
        world.triggersEnabled = true;
        await new Promise((_, reject) => {
          work.signal.addEventListener('abort', () => reject(new Error('connection lost')));
        });
      });
      const cutover = migration.ask('cutover');
      await until('the last step', () => world.triggersEnabled);
      const [first, second] = await Promise.all([migration.ask('pause'), migration.ask('pause')]);
      expect(second.text).toBe(first.text);
      expect((await cutover).type).toBe('Cancelled');
      await until('disabled triggers', () => !world.triggersEnabled);
      await migration.ask('resume');
      const stoodAt = world.confirmed;
      await until('the stream to continue', () => world.confirmed > stoodAt);
      expect((await migration.progress()).state).toBe('running');
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'a cutover whose stream has not stopped yet is cancelled at once, also with an unavailable target',
    async () => {
      let lose: () => void = () => undefined;
      const lost = new Promise<never>((_, reject) => {
        lose = () => reject(new Error('connection lost'));
      });
      const migration = await migrations.streaming((world) => {
        world.script('streamChanges', () => lost);
        for (let i = 0; i < 1_000; i++) world.fail('streamChanges', 'Unreachable', 'away');
        for (let i = 0; i < 1_000; i++) world.fail('fenceStream', 'Unreachable', 'away');
      });
      const cutover = migration.ask('cutover');
      await migration.reaches('cutover');
      const pause = migration.ask('pause');
      expect(await cutover).toMatchObject({
        type: 'Cancelled',
        text: text(/before its first step/),
      });
      lose();
      expect((await pause).text).toMatch(
        /^Cutover cancelled\. Paused: the stream has stopped, but its position is not known yet/,
      );
      migration.world.clear('streamChanges');
      await migration.ask('resume');
      await until('the stream', () => migration.world.confirmed > 0x1000n);
      await migration.ask('abort');
    },
  );

  // An unreachable worker may continue to apply what it has, after an answer that gives the stream's position.
  test.concurrent(
    'a cutover cancelled before its first step fences off an attempt that did not report, and reads the position',
    async () => {
      let lose: () => void = () => undefined;
      const lost = new Promise<never>((_, reject) => {
        lose = () => reject(new Error('connection lost'));
      });
      const migration = await migrations.start((world) => {
        world.script('streamChanges', () => lost);
      });
      const { world } = migration;
      await until('the stream to run', () => world.isRunning('streamChanges'));
      const cutover = migration.ask('cutover');
      await migration.reaches('cutover');
      const pause = migration.ask('pause');
      expect((await cutover).text).toMatch(/paused at [0-9A-F/]+ or later/);
      world.confirmed += 0x10n;
      lose();
      expect((await pause).text).toMatch(/its position is not known yet \(its last attempt ended/);
      await reportedPosition(migration);
    },
  );

  test.concurrent(
    'a cutover cancelled while an earlier pause still reads the position keeps reading it',
    async () => {
      const migration = await migrations.start((world) => {
        world.script('streamChanges', (work) => failWhenStopped(work.signal));
      });
      const { world } = migration;
      await until('the stream to run', () => world.isRunning('streamChanges'));
      let lose: () => void = () => undefined;
      const lost = new Promise<never>((_, reject) => {
        lose = () => reject(new MigrationError('Unreachable', 'away'));
      });
      world.script('fenceStream', () => lost);
      const first = migration.ask('pause');
      await until('the position to be read', () => world.isRunning('fenceStream'));
      const cutover = migration.ask('cutover');
      await migration.reaches('cutover');
      const second = migration.ask('pause');
      expect((await cutover).type).toBe('Cancelled');
      world.confirmed += 0x10n;
      lose();
      expect((await first).text).toMatch(/^Paused/);
      expect((await second).allowed).toBe(true);
      await reportedPosition(migration);
    },
  );

  test.concurrent(
    'a cutover cancelled in a drain that did not report fences it off, and reads the position',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      world.script('streamChanges', (work) => failWhenStopped(work.signal));
      const cutover = migration.ask('cutover');
      await until('the drain', async () =>
        (await migration.progress()).cutover?.step.startsWith('drain'),
      );
      await until('it to run', () => world.isRunning('streamChanges'));
      world.confirmed += 0x10n;
      expect((await migration.ask('pause')).text).toMatch(/its position is not known yet/);
      expect((await cutover).type).toBe('Cancelled');
      await reportedPosition(migration);
    },
  );

  async function reportedPosition(migration: SimulatedMigration): Promise<void> {
    const { world } = migration;
    const now = await until('the position', async () => {
      const progress = await migration.progress();
      return !progress.notes?.join().includes('the position shown') && progress;
    });
    expect(now).toMatchObject({ state: 'paused', confirmedLsn: formatLsn(world.confirmed) });
    expect(world.count('fenceStream')).toBeGreaterThan(0);
    await migration.ask('abort');
  }

  test.concurrent.each<[string, StepName]>([
    ['while triggers could not be enabled', 'enableTriggers'],
    ['while the final check itself failed', 'laterChanges'],
  ])(
    'a write %s is detected before the slot is dropped: the cutover is undone, and triggers are disabled for the stream',
    async (_, step) => {
      const { migration, world, cutover } = await stuckIn(step, 4);
      world.late = ['public.orders'];
      expect(await cutover).toMatchObject({
        allowed: false,
        type: 'StillWriting',
        text: text(/public\.orders/),
      });
      const stoodAt = world.confirmed;
      await until('the stream to continue', () => world.confirmed > stoodAt);
      expect(world).toMatchObject({ slot: true, triggersEnabled: false });
      expect(world.count('dropSlot')).toBe(0);
      world.late = [];
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect(world).toMatchObject({ leftovers: [], triggersEnabled: true });
    },
  );

  test.concurrent(
    'a cutover whose finished work is missing on the target is undone, and constraints are built again before the next one ends',
    async () => {
      const migration = await migrations.streaming((world) => {
        world.fail('dropSlot', 'TargetRewound', 'a lagging standby was promoted');
      });
      const { world } = migration;
      await until('the constraints', () => world.count('buildConstraints') === 1);
      expect(await migration.ask('cutover')).toMatchObject({
        ...{ allowed: false, type: 'TargetRewound', text: text(/lagging standby/) },
      });
      expect(world).toMatchObject({ slot: true, control: true });
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(world.count('buildConstraints')).toBe(2);
      expect(world).toMatchObject({ leftovers: [], triggersEnabled: true });
    },
  );

  test.concurrent(
    'a write between the final check and the drop of the slot, even while the source is unavailable, undoes the cutover',
    async () => {
      const migration = await migrations.streaming((world) => {
        world.script('dropSlot', () => {
          world.late = ['public.item'];
          return Promise.reject(new MigrationError('Unreachable', 'away'));
        });
      });
      const { world } = migration;
      expect(await migration.ask('cutover')).toMatchObject({
        ...{ allowed: false, type: 'StillWriting', text: text(/public\.item/) },
      });
      const stoodAt = world.confirmed;
      await until('the stream to continue', () => world.confirmed > stoodAt);
      expect(world).toMatchObject({ slot: true, control: true, triggersEnabled: false });
      expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
      world.late = [];
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(world).toMatchObject({ leftovers: [], triggersEnabled: true });
    },
  );

  test.concurrent.each<FailureCode>([
    ...(['StreamWarning', 'SourceRewound', 'CheckpointMissing', 'WrongServer'] as const),
    ...(['SchemaDrift', 'SlotMissing', 'PluginRefused', 'Internal'] as const),
  ])(
    'a check before the drop of the slot that ends with %s undoes the cutover: slot and control schema stay, and streaming continues',
    async (code) => {
      const migration = await migrations.streaming((world) =>
        world.fail('dropSlot', code, 'the check did not pass'),
      );
      const { world } = migration;
      expect(await migration.ask('cutover')).toMatchObject({
        ...{ allowed: false, type: code, text: text(/the check did not pass/) },
      });
      const stoodAt = world.confirmed;
      await until('the stream to continue', () => world.confirmed > stoodAt);
      expect(world).toMatchObject({ slot: true, control: true, triggersEnabled: false });
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(world).toMatchObject({ leftovers: [], triggersEnabled: true });
    },
  );

  test.concurrent.each([
    ['Denied', 'target'],
    ['UnknownService', 'target'],
    ['Denied', 'unknown'],
  ] as const)(
    'a drop of the slot that fails with %s of the %s undoes the cutover: only an unavailable source leaves the target ready',
    async (code, side) => {
      const migration = await migrations.streaming((world) =>
        world.fail('dropSlot', code, 'no target', { side }),
      );
      const { world } = migration;
      expect(await migration.ask('cutover')).toMatchObject({ allowed: false, type: code });
      expect(world).toMatchObject({ slot: true, control: true });
      expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
    },
  );

  test.concurrent(
    "a slot that is kept because its server cannot be queried completes the cutover, and the message claims no other check than the cutover's",
    async () => {
      const migration = await migrations.streaming((world) =>
        world.fail('dropSlot', 'Denied', 'the log-in was refused', { side: 'source' }),
      );
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect(await migration.end()).toMatchObject({
        ...{ status: 'FAILED', type: 'SlotKept' },
        text: text(
          /the log-in was refused\); the last check for late writes found none, but anything written after it is missing on the target.*; drop it: psql/,
        ),
      });
    },
  );

  test.concurrent(
    'after the last step it is too late, and no answer claims an end that the last check may still undo',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      const release = world.hold('dropSlot');
      const cutover = migration.ask('cutover');
      await until('the slot being dropped', () => world.isRunning('dropSlot'));
      for (const update of ['pause', 'abort'] as const) {
        expect(await migration.ask(update)).toMatchObject({
          ...{ allowed: false, type: 'Refused' },
          text: text(/^too late to .*last check for late writes; the answer of cutover says how/),
        });
      }
      world.late = ['public.orders'];
      release();
      expect(await cutover).toMatchObject({ allowed: false, type: 'StillWriting' });
      expect((await migration.progress()).phase).toBe('stream');
      await migration.ask('abort');
    },
  );

  test.concurrent('after the last step it is too late: the cutover completes', async () => {
    const migration = await migrations.streaming();
    const release = migration.world.hold('dropSlot');
    const cutover = migration.ask('cutover');
    await until('the slot being dropped', () => migration.world.isRunning('dropSlot'));
    expect(await migration.ask('pause')).toMatchObject({
      ...{ allowed: false, type: 'Refused' },
      text: text(/^too late to cancel the cutover: the slot is being dropped/),
    });
    release();
    expect((await cutover).text).toMatch(/^Cutover complete/);
  });
});

async function accepted(migration: SimulatedMigration): Promise<number> {
  const { events } = await migration.handle.fetchHistory();
  return (events ?? []).filter((e) => e.workflowExecutionUpdateAcceptedEventAttributes != null)
    .length;
}

/** `RESET_REAPPLY_EXCLUDE_TYPE_UPDATE` */
const EXCLUDE_UPDATES = 2;

describe('a workflow that was reset', () => {
  // Temporal gives the new run every update that the old one had accepted after the reset point.
  test.concurrent(
    'an undone cutover is not repeated without the operator; streaming continues, and a new call completes it',
    async () => {
      const migration = await migrations.streaming((world) => {
        world.leaseMs = 300;
      });
      const { world, handle } = migration;
      await until('some leases', () => world.count('streamChanges') > 3);
      const { events } = await handle.fetchHistory();
      const point = events?.findLast((e) => e.workflowTaskCompletedEventAttributes)?.eventId;
      world.equal = false;
      const updateId = 'asked-once';
      await expect(handle.executeUpdate('cutover', { updateId })).rejects.toThrow();
      world.equal = true;
      await handle.terminate('by mistake');
      await migrations.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: migration.id, runId: migration.firstRunId },
        ...{ reason: 'go on', requestId: updateId, workflowTaskFinishEventId: point ?? null },
      });
      const begun = world.count('writeEndMark');
      await until('the update to be run again', () => world.count('writeEndMark') > begun);
      const before = world.confirmed;
      await until('the stream to continue', () => world.confirmed > before);
      expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
      expect(world).toMatchObject({ slot: true, control: true });
      const { cause } = await failureOf(handle.getUpdateHandle(updateId).result());
      expect(cause).toMatchObject({ type: 'CutoverRepeated' });
      expect((await migration.ask('cutover')).allowed).toBe(true);
      await until('the end', () => !world.control);
      expect(world.leftovers).toEqual([]);
    },
  );

  test.concurrent(
    'limits set after a reset that excludes updates are newer than those that were set before it',
    async () => {
      const migration = await migrations.streaming((world) => {
        world.leaseMs = 300;
      });
      const { world, handle } = migration;
      const { events } = await handle.fetchHistory();
      const point = events?.findLast((e) => e.workflowTaskCompletedEventAttributes)?.eventId;
      for (const applyChangesPerSecond of [5, 6, 7]) {
        await migration.ask('setLimits', { applyChangesPerSecond });
      }
      // Three calls in one second are numbered ahead of the clock.
      const newest = world.limits.at(-1)?.version ?? 0;
      await until('the clock', () => Date.now() / 1000 > newest + 1);
      await handle.terminate('by mistake');
      await migrations.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: migration.id, runId: migration.firstRunId },
        ...{ reason: 'go on', requestId: 'again', workflowTaskFinishEventId: point ?? null },
        resetReapplyExcludeTypes: [EXCLUDE_UPDATES],
      });
      const text = () =>
        migration.ask('setLimits', { applyChangesPerSecond: 8 }).then((answer) => answer.text);
      expect(await until('the new run', () => text().catch(() => undefined))).toContain(
        'In force within seconds',
      );
      const versions = world.limits.map(({ version }) => version);
      expect(versions).toHaveLength(4);
      expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
      await migration.ask('abort');
    },
  );

  async function failureOf(work: Promise<unknown>): Promise<Error> {
    const error: unknown = await work.then(
      () => new Error('it did not fail'),
      (e: unknown) => e,
    );
    if (!(error instanceof Error)) throw error;
    return error;
  }
});

describe('setLimits', () => {
  const limitsOf = async (migration: SimulatedMigration) => (await migration.progress()).limits;

  test.concurrent(
    'changes the named limits and keeps the others, may be sent twice for one change, and is written for the running activities',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      const unlimited = { copyStreams: 0, copyBytesPerSecond: 0, applyChangesPerSecond: 0 };
      expect(await limitsOf(migration)).toEqual(unlimited);
      const first = await migration.ask('setLimits', { applyChangesPerSecond: 1000 });
      expect(first).toEqual({
        allowed: true,
        text: 'Limits: apply 1,000 changes/s. In force within seconds.',
      });
      expect(world.limits.at(-1)).toMatchObject({ limits: { guard: 'on' } });
      expect((await migration.ask('setLimits', { applyChangesPerSecond: 1000 })).text).toBe(
        'Limits: apply 1,000 changes/s.',
      );
      expect(world.limits).toHaveLength(1);
      await migration.ask('setLimits', { copyBytesPerSecond: 5_000_000 });
      expect(await limitsOf(migration)).toMatchObject({
        ...{ applyChangesPerSecond: 1000, copyBytesPerSecond: 5_000_000 },
      });
      expect((await migration.ask('setLimits', { applyChangesPerSecond: 0 })).text).toContain(
        'Limits: copy 5.0 MB/s. In force',
      );
      expect(world.isRunning('streamChanges')).toBe(true);
      await migration.ask('abort');
      expect((await migration.end()).type).toBe('Aborted');
    },
  );

  test.concurrent(
    'refuses wrong fields by name, and then changes and writes nothing, not even the correct fields',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      await migration.ask('setLimits', { applyChangesPerSecond: 7 });
      const before = await limitsOf(migration);
      const right = { copyBytesPerSecond: 5, copyStreams: 3 };
      for (const [wrong, said] of [
        [{ ...right, copyStreams: -1 }, /"copyStreams" must be a whole number from 0 to 32/],
        [{ ...right, applyChangesPerSecond: 0.5 }, /"applyChangesPerSecond" must be a whole num/],
        // What JSON makes of NaN.
        [{ ...right, applyChangesPerSecond: null }, /"applyChangesPerSecond" must be a whole num/],
        [{ ...right, streams: 2 }, /unknown field "streams"; known fields: copyStreams/],
        [{ ...right, guard: 'off' }, /"guard": the input of this migration has no guard/],
        ['5', /the input of setLimits is one object like/],
      ] as const) {
        expect(await migration.ask('setLimits', wrong)).toEqual({
          ...{ allowed: false, type: 'Refused', text: text(said) },
        });
      }
      expect(await migration.ask('setLimits')).toMatchObject({ allowed: false, type: 'Refused' });
      expect(await limitsOf(migration)).toEqual(before);
      expect(world.limits).toHaveLength(1);
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'the number of copy streams follows at once, up and down, and no chunk is copied twice',
    async () => {
      const releases: (() => void)[] = [];
      const migration = await migrations.start((world) => {
        world.chunksTotal = 12;
        world.chunksPerRun = 1;
        for (let i = 0; i < 9; i++) releases.push(world.hold('copyChunks'));
      });
      const { world } = migration;
      const streams = (n: number) =>
        until(`${n} copy streams`, () => world.running.get('copyChunks') === n && true);
      await streams(2);
      await migration.ask('setLimits', { copyStreams: 5 });
      await streams(5);
      await migration.ask('setLimits', { copyStreams: 1 });
      releases.splice(0, 4).forEach((release) => release());
      await streams(1);
      await migration.ask('setLimits', { copyStreams: 0 });
      await streams(2);
      releases.forEach((release) => release());
      await migration.reaches('stream');
      expect([...world.copies.values()]).toEqual(Array.from({ length: 12 }, () => 1));
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'limits of the input and those set before the copy are written before its first chunk',
    async () => {
      const input = { source: 'orders_old', target: 'orders_new', limits: { copyStreams: 3 } };
      let release = (): void => undefined;
      const migration = await migrations.start((world) => {
        release = world.hold('copySchema');
      }, input);
      await migration.reaches('schema');
      expect((await migration.ask('setLimits', { applyChangesPerSecond: 9 })).text).toBe(
        'Limits: copy 3 streams; apply 9 changes/s. They apply when the copy begins.',
      );
      release();
      await migration.reaches('stream');
      expect(migration.world.limits).toMatchObject([
        { limits: { copyStreams: 3, applyChangesPerSecond: 9 } },
      ]);
      const activities = await migration.activities();
      expect(activities.indexOf('storeLimits')).toBeLessThan(activities.indexOf('copyChunks'));
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'while the target is unavailable it reports that and keeps retrying; the end of a migration does not wait for it',
    async () => {
      const migration = await migrations.streaming();
      const { world } = migration;
      for (let i = 0; i < 2; i++) world.fail('storeLimits', 'Unreachable');
      const release = world.hold('storeLimits');
      const answer = await migration.ask('setLimits', { applyChangesPerSecond: 5 });
      expect(answer.text).toMatch(
        /Not in force yet: .*target \(.*Unreachable\); retried automatically\.$/,
      );
      expect((await migration.progress()).notes?.at(-1)).toContain(
        'new limits are not in force yet',
      );
      release();
      await until('the limits', () => world.limits.length === 1);
      await until(
        'the note to disappear',
        async () => (await migration.progress()).notes?.length === 0,
      );
      const letGo = world.hold('storeLimits');
      const hanging = migration.ask('setLimits', { applyChangesPerSecond: 6 });
      await until('the step', () => world.isRunning('storeLimits'));
      await migration.ask('abort');
      expect(await hanging).toMatchObject({ allowed: false, type: 'Ended' });
      letGo();
      expect((await migration.end()).type).toBe('Aborted');
    },
  );

  test.concurrent('what the guard reports is shown, and only while rows are copied', async () => {
    const report = {
      ...({ holding: true, measure: 'activeSessions', value: 63, ceiling: 50 } as const),
    };
    const input = { source: 'orders_old', target: 'orders_new', guard: { activeSessions: 50 } };
    let release = (): void => undefined;
    const migration = await migrations.start((world) => {
      release = world.hold('copyChunks');
      world.script('holdSnapshot', async ({ tell }) => tell?.(report));
    }, input);
    await until('the guard', async () => (await migration.progress()).guard?.holding === true);
    expect(await migration.progress()).toMatchObject({ guard: report, limits: { guard: 'on' } });
    await migration.handle.signal('guard', { holding: 'yes' });
    await migration.handle.signal('guard', { ...report, holding: false, value: 1 });
    await until(
      'the guard to release',
      async () => (await migration.progress()).guard?.value === 1,
    );
    expect((await migration.ask('setLimits', { guard: 'off' })).text).toContain('guard off');
    expect((await limitsOf(migration))?.guard).toBe('off');
    release();
    const { guard } = await migration.reaches('stream');
    expect(guard).toBeUndefined();
    await migration.ask('abort');
  });

  test.concurrent('without a guard in the input nothing is shown about one', async () => {
    let release = (): void => undefined;
    const migration = await migrations.start((world) => (release = world.hold('copyChunks')));
    await migration.reaches('snapshot');
    await migration.ask('setLimits', { copyStreams: 2 });
    // Any client can send a signal.
    const report = { holding: true, measure: 'activeSessions', value: 63, ceiling: 50 };
    await migration.handle.signal('guard', report);
    expect(JSON.stringify(await migration.progress())).not.toMatch(/guard/i);
    expect(await migration.details()).toMatch(/^## Snapshot[^]*limits: copy 2 streams\n/);
    expect(await migration.details()).not.toMatch(/guard/i);
    release();
    await migration.reaches('stream');
    await migration.ask('abort');
  });
});
