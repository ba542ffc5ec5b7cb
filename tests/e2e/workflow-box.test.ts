/** A cutover with a fence, in the workflow: what undoes it, what no longer can, and that the outcome is followed in any case. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import type { World } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const FENCED = {
  ...{ source: 'orders_old', target: 'orders_new', verify: 'off', fence: 'trigger' },
};

async function streaming(prepare?: (world: World) => void): Promise<SimulatedMigration> {
  const migration = await migrations.start(prepare, FENCED);
  await migration.reaches('stream');
  await until('the stream to run', () => migration.world.isRunning('streamChanges'));
  return migration;
}

/** The outcome that the world has; there is at most one cutover in these tests. */
const outcomes = ({ world }: SimulatedMigration): string[] => [...world.outcomes.values()];

/** An outcome that came before the answer of its step, or with none. */
const decideFirst = (world: World): void =>
  world.script('switchCutover', () => {
    if (world.gate) world.outcomes.set(world.gate.cutover, 'switched');
    return Promise.reject(new MigrationError('FenceRefused', 'the answer was lost'));
  });

test.concurrent('the answer begins with the downtime, and the source stays sealed', async () => {
  const migration = await streaming();
  const answer = await migration.ask('cutover');
  expect(answer).toMatchObject({
    allowed: true,
    text: text(/^Cutover complete: writes were stopped for 1\.2 s\. .*stays sealed/),
  });
  expect(migration.world.gate?.state).toBe('sealed');
  expect(outcomes(migration)).toEqual(['switched']);
  expect(migration.world.leftovers).toEqual([]);
  expect(migration.world.count('undoCutover')).toBe(0);
});

test.concurrent(
  'a change that slipped in before the seal undoes the cutover, and the stream continues',
  async () => {
    const migration = await streaming((world) => {
      world.slipping = true;
    });
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: false,
      type: 'StillWriting',
      text: text(
        /cutover undone, streaming continues: selected tables changed between the end mark/,
      ),
    });
    expect(outcomes(migration)).toEqual(['undone']);
    expect(migration.world.gate?.state).toBe('open');
    expect(migration.world.count('switchCutover')).toBe(0);
    await migration.ask('abort');
    expect(migration.world.gate).toBeUndefined();
  },
);

test.concurrent(
  'an input without a fence gets the trigger; where preflight says that it cannot be made, the cutover has none and the warning stays visible',
  async () => {
    const asked = { ...FENCED, fence: undefined };
    const fenced = await migrations.streaming(undefined, asked);
    expect(await fenced.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/writes were stopped for 1\.2 s\. .*stays sealed/),
    });
    const without = await migrations.streaming((world) => {
      const message = 'nothing stops the writes for the cutover';
      world.findings = [{ level: 'warning', code: 'fence-default', message, action: 'Grant it.' }];
    }, asked);
    expect((await without.progress()).notes?.join()).toContain('nothing stops the writes');
    expect(await without.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/^Cutover complete: "orders_new" is ready/),
    });
    expect(without.world.count('armCutover')).toBe(0);
  },
);

test.concurrent('pause while writes are stopped gives them back', async () => {
  const migration = await streaming();
  migration.world.hold('compareCounts');
  const cutover = migration.ask('cutover');
  await until('counting', () => migration.world.isRunning('compareCounts'));
  const { box, cutover: step } = await migration.progress();
  expect(box?.deadline).not.toBeNull();
  expect(box?.spent.map((one) => one.step)).toEqual(['stop the writes', text(/^drain to /)]);
  expect(step?.step).toBe('compare row counts');
  expect(await migration.ask('pause')).toMatchObject({
    allowed: true,
    text: text(/^Cutover cancelled\. Paused/),
  });
  expect((await cutover).type).toBe('Cancelled');
  expect(outcomes(migration)).toEqual(['undone']);
  expect(migration.world.gate?.state).toBe('open');
  await migration.ask('abort');
});

test.concurrent(
  'an undo that cannot open the source asks for the source: the outcome is known, and the target stays up',
  async () => {
    const migration = await streaming();
    const { world } = migration;
    world.hold('compareCounts');
    const cutover = migration.ask('cutover');
    await until('counting', () => world.isRunning('compareCounts'));
    for (let at = 0; at < 8; at += 1) {
      world.fail('undoCutover', 'Unreachable', 'no one answers', { side: 'source' });
    }
    const paused = migration.ask('pause');
    const failing = await until(
      'what fails',
      async () => (await migration.progress()).cutover?.failing,
    );
    expect(failing).toMatchObject({
      code: 'Unreachable',
      action:
        'The cutover is undone, and the source is the live database: bring it up, and walferry gives the writes back there.',
    });
    expect((await paused).allowed).toBe(true);
    expect((await cutover).type).toBe('Cancelled');
    await migration.ask('abort');
  },
);

test.concurrent(
  'the slot of a source that could not be looked at after the switch is kept, and the migration says why',
  async () => {
    const migration = await streaming((world) => world.fail('lookAtSource', 'Denied'));
    expect((await migration.ask('cutover')).text).toContain(
      'could not be checked after the switch',
    );
    expect(await migration.end()).toMatchObject({ status: 'FAILED', type: 'SlotKept' });
    expect(migration.world.count('dropSlot')).toBe(0);
  },
);

test.concurrent('pause after the outcome is refused, and the migration completes', async () => {
  const migration = await streaming();
  const go = migration.world.hold('lookAtSource');
  const cutover = migration.ask('cutover');
  await until('the switch', () => migration.world.isRunning('lookAtSource'));
  expect(await migration.ask('pause')).toMatchObject({
    allowed: false,
    text: text(/too late to undo the cutover/),
  });
  expect((await migration.ask('abort')).allowed).toBe(false);
  go();
  expect((await cutover).allowed).toBe(true);
});

test.concurrent(
  'a cutover that takes too long is undone, and the answer names the step that took the time',
  async () => {
    const migration = await streaming();
    migration.world.hold('compareCounts');
    expect(await migration.ask('cutover', { maxDowntimeSeconds: 12 })).toMatchObject({
      allowed: false,
      type: 'DowntimeTooLong',
      text: text(/did not end within 12 s .*step "compare row counts" took most of them/),
    });
    expect(outcomes(migration)).toEqual(['undone']);
    expect(migration.world.gate?.state).toBe('open');
    await migration.ask('abort');
  },
);

test.concurrent('a cutover that cannot fit is refused before a write is stopped', async () => {
  const migration = await streaming((world) => {
    world.writer = { who: 'pid 4711 (app)', ms: 600_000 };
  });
  expect(await migration.ask('cutover')).toMatchObject({
    allowed: false,
    type: 'DowntimeTooLong',
    text: text(
      /about 60\d s, and 30 s are permitted: the writes of pid 4711 \(app\) 600\.0 s, .*No write was stopped/,
    ),
  });
  expect(migration.world.count('armCutover')).toBe(0);
  await migration.ask('abort');
});

test.concurrent('a session that the box may end does not make a cutover too long', async () => {
  const input = { ...FENCED, fenceExtras: { endSessions: true } };
  const migration = await migrations.streaming((world) => {
    world.writer = { who: 'pid 4711 (app)', ms: 600_000 };
  }, input);
  expect((await migration.ask('cutover')).allowed).toBe(true);
});

test.concurrent(
  'a step that switched and whose answer was lost completes the migration',
  async () => {
    const migration = await streaming(decideFirst);
    expect(await migration.ask('cutover')).toMatchObject({
      allowed: true,
      text: text(/^Cutover complete/),
    });
    expect(migration.world.count('undoCutover')).toBe(1);
    expect(outcomes(migration)).toEqual(['switched']);
    expect(migration.world.gate?.state).toBe('sealed');
  },
);

test.concurrent.each(['abort', 'cancel'] as const)(
  '%s that comes after the switch completes the migration instead',
  async (how) => {
    const migration = await streaming((world) => {
      world.script('switchCutover', async (work) => {
        if (world.gate) world.outcomes.set(world.gate.cutover, 'switched');
        while (!work.signal.aborted) {
          work.beat({});
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        work.signal.throwIfAborted();
      });
    });
    const cutover = migration.ask('cutover');
    await until('the switch', () => migration.world.isRunning('switchCutover'));
    const stopped = how === 'abort' ? migration.ask('abort') : migration.handle.cancel();
    expect(await cutover).toMatchObject({ allowed: true, text: text(/^Cutover complete/) });
    await stopped;
    expect((await migration.end()).status).toBe('COMPLETED');
    expect(outcomes(migration)).toEqual(['switched']);
    expect(migration.world.gate?.state).toBe('sealed');
  },
);

test.concurrent(
  'abort while writes are stopped gives them back before the migration ends',
  async () => {
    const migration = await streaming();
    migration.world.hold('compareCounts');
    const cutover = migration.ask('cutover');
    await until('counting', () => migration.world.isRunning('compareCounts'));
    await migration.ask('abort');
    expect((await cutover).allowed).toBe(false);
    expect(outcomes(migration)).toEqual(['undone']);
    expect(migration.world.leftovers).toEqual([]);
  },
);

test.concurrent(
  'a stream that finds the switch of an earlier run completes the migration',
  async () => {
    const migration = await streaming();
    migration.world.outcomes.set('earlier', 'switched');
    migration.world.fail('streamChanges', 'AlreadySwitched');
    await migration.ask('pause');
    await migration.ask('resume');
    expect((await migration.end()).status).toBe('COMPLETED');
    expect(migration.world.count('armCutover')).toBe(0);
  },
);

test.concurrent('a rehearsal answers how long the writes would stop, and stops none', async () => {
  const migration = await streaming();
  expect(await migration.ask('rehearse')).toMatchObject({
    allowed: true,
    text: text(
      /^Rehearsed without stopping a write: 2 transactions .*for 0\.4 s; a drain takes .*; its release with 3 triggers, rolled back, took 0\.1 s\. .* The fence refuses writes/,
    ),
  });
  expect(migration.world.gate).toBeUndefined();
  await until('the stream to run', () => migration.world.isRunning('streamChanges'));
  await migration.ask('abort');
});

test.concurrent(
  'what keeps the release from being tried is the answer of a rehearsal, and the stream goes on',
  async () => {
    const migration = await streaming();
    for (let attempt = 0; attempt < 4; attempt += 1) {
      migration.world.fail('rehearseSwitch', 'Contention');
    }
    expect(await migration.ask('rehearse')).toMatchObject({ allowed: false, type: 'Contention' });
    await until('the stream to run', () => migration.world.isRunning('streamChanges'));
    expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
    await migration.ask('abort');
  },
);

test.concurrent('a rehearsal with the fence stops the writes and gives them back', async () => {
  const migration = await streaming();
  expect(await migration.ask('rehearse', { fence: true })).toMatchObject({
    allowed: true,
    text: text(/^Rehearsed with the fence: writes were stopped for .*stop the writes .*drain to/),
  });
  expect(outcomes(migration)).toEqual(['undone']);
  expect(migration.world.gate?.state).toBe('open');
  expect(migration.world.count('sealCutover') + migration.world.count('switchCutover')).toBe(0);
  expect((await migration.ask('cutover')).allowed).toBe(true);
});
