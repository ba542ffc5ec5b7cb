/** Every way in which a migration ends: its status and message, and that nothing is left behind. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phase } from '../../contract/progress.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import type { StepName, World } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);

describe('done', () => {
  test.concurrent('a cutover completes the migration with a sentence and its numbers', async () => {
    const input = { source: 'orders_old', target: 'orders_new', verify: 'off' };
    const migration = await migrations.streaming(undefined, input);
    const answer = await migration.ask('cutover');
    expect(answer).toMatchObject({
      allowed: true,
      text: text(/^Cutover complete: "orders_new" is ready/),
    });
    const end = await migration.end();
    expect(end.status).toBe('COMPLETED');
    expect(JSON.parse(end.text)).toMatchObject({
      summary: text(/3 tables, 600 rows on both sides, 5 sequences set/),
      ...{ source: 'orders_old', target: 'orders_new', tables: 3, rows: 600, sequences: 5 },
      ...{ copiedRows: 600, copiedBytes: 60_000 },
    });
    expect(migration.world.leftovers).toEqual([]);
    expect(migration.world).toMatchObject({ tables: true, triggersEnabled: true });
    expect((await migration.progress()).phase).toBe('done');
    expect(await migration.activities()).toEqual([
      ...['preflight', 'copySchema', 'createSlot', 'holdSnapshot', 'planCopy'],
      ...['copyChunks', 'copyChunks', 'copyChunks', 'planCopy', 'buildIndexes', 'analyzeTables'],
      ...['buildConstraints', 'refreshViews', 'assessReadiness', 'streamChanges'],
      ...['compareDefinitions', 'assessReadiness', 'writeEndMark', 'streamChanges'],
      ...['compareCounts', 'refreshViews', 'setSequences', 'enableTriggers', 'laterChanges'],
      ...['dropSlot', 'dropControl'],
    ]);
  });

  test.concurrent(
    'differences other than rows, and checks that could not be added, are named once each',
    async () => {
      const migration = await migrations.streaming();
      const [index, check] = [
        'app.t: index i is on the source only',
        'app.t: constraint c differs',
      ];
      migration.world.mangle('setSequences', {
        ...{ sequences: 5, missing: [], differences: [index, check] },
      });
      migration.world.mangle('enableTriggers', { enabled: 1, differences: [check] });
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect(JSON.parse((await migration.end()).text)).toMatchObject({
        summary: text(/Not as on the source: app.t: constraint c differs, app.t: index i/),
        differences: [check, index],
      });
    },
  );

  test.concurrent(
    'objects that were not carried are named at the end, and views that could not be filled wait for the operator',
    async () => {
      const leftOut = {
        ...{ excluded: ['VIEW app.v'], never: ['PUBLICATION p'], more: 0 },
        ...{ accepted: ['3 large objects'], unselected: ['TABLE app.old'] },
      };
      const skipped = ['MATERIALIZED VIEW app.m (excluded after SQLSTATE 22P02)'];
      const migration = await migrations.start((world) => {
        world.findings = [
          { level: 'note', code: 'publications', message: 'not moved: p', action: 'Create them.' },
        ];
        world.mangle('copySchema', { created: true, tables: 3, statements: 9, leftOut });
        world.fail('refreshViews', 'SchemaFailed', 'MATERIALIZED VIEW app.m (SQLSTATE 22P02)');
      });
      const { waiting, notes } = await migration.reaches('indexes', 'waiting');
      expect(waiting).toMatchObject({ step: 'constraints', code: 'SchemaFailed' });
      expect(waiting?.reason).toContain('MATERIALIZED VIEW app.m (SQLSTATE 22P02)');
      expect(notes).toEqual([
        'note [publications]: not moved: p. Create them.',
        'Not moved, because they depend on excluded tables or ignored extensions: VIEW app.v.',
      ]);
      migration.world.mangle('refreshViews', { views: 0, skipped });
      await migration.ask('resume');
      await until('the views', () => migration.world.count('refreshViews') === 2);
      migration.world.mangle('refreshViews', { views: 0, skipped });
      expect((await migration.ask('cutover')).text).toMatch(
        /TABLE app\.old.*VIEW app\.v.*3 large objects.*PUBLICATION p.*not refreshed: MATERIALIZED VIEW app\.m/,
      );
      expect(JSON.parse((await migration.end()).text)).toMatchObject({
        leftOut: ['TABLE app.old', 'VIEW app.v', '3 large objects', 'PUBLICATION p'],
        skippedViews: skipped,
      });
    },
  );

  test.concurrent(
    'a slot that stays after the cutover fails the workflow with the command that drops it',
    async () => {
      const migration = await migrations.streaming();
      migration.world.fail('dropSlot', 'Denied', 'role walferry may not drop the slot');
      const answer = await migration.ask('cutover');
      expect(answer.text).toMatch(/^Cutover complete: .*slot is kept/);
      expect(await migration.end()).toMatchObject({
        ...{ status: 'FAILED', type: 'SlotKept' },
        text: text(
          /^the migration is complete.*is ready.*may not drop the slot.*psql service=orders_old -c "select pg_drop/,
        ),
      });
      expect(migration.world.control).toBe(false);
    },
  );
});

describe('wrong input', () => {
  test.concurrent.each([
    ['no input', [undefined], /the input is missing/],
    ['a missing field', [{ source: 'a' }], /"target" is missing/],
    ['a wrong type', [{ source: 'a', target: 7 }], /"target" must be the name of a .*service/],
    ['an unknown field', [{ source: 'a', target: 'b', speed: 1 }], /unknown field "speed"/],
    ['a range', [{ source: 'a', target: 'b', copy: { parallelism: 99 } }], /from 1 to 32/],
    ['a second input', [{ source: 'a', target: 'b' }, { version: 1 }], /give exactly one input/],
  ])('%s fails the workflow at once with one clear message', async (_, args, message) => {
    const migration = await migrations.start(undefined, ...args);
    expect(await migration.end()).toMatchObject({
      ...{ status: 'FAILED', type: 'InvalidInput' },
      text: text(message),
    });
    expect(await migration.activities()).toEqual([]);
  });

  test.concurrent.each([
    ['--execution-timeout', { workflowExecutionTimeout: '1 minute' }],
    ['--run-timeout', { workflowRunTimeout: '1 minute' }],
    [
      '--execution-timeout and --run-timeout',
      { workflowExecutionTimeout: '2 minutes', workflowRunTimeout: '1 minute' },
    ],
  ] as const)(
    'a workflow with %s, which would end without cleanup, is refused',
    async (named, options) => {
      const migration = await migrations.startWith(options);
      expect(await migration.end()).toMatchObject({
        ...{ status: 'FAILED', type: 'InvalidInput' },
        text: text(new RegExp(`^the workflow was started with ${named}: .* Start it without`)),
      });
      expect(await migration.activities()).toEqual([]);
    },
  );
});

describe('before the snapshot', () => {
  test.concurrent(
    'findings of preflight end the migration before anything is changed',
    async () => {
      const migration = await migrations.start((world) => {
        world.findings = [
          { level: 'warning', code: 'old-version', message: 'It is old', action: 'Upgrade it.' },
          { level: 'error', code: 'wal-level', message: 'wal_level is replica', action: 'Set it.' },
        ];
      });
      expect(await migration.end()).toMatchObject({
        ...{ status: 'FAILED', type: 'Preflight' },
        text: text(
          /^preflight found 1 error \(and 1 warning\):\n1\. \[wal-level\] wal_level is replica\. Set it/,
        ),
      });
      expect(await migration.activities()).toEqual(['preflight']);
      const { phase, notes } = await migration.progress();
      expect(phase).toBe('failed');
      // For Current Details, which remain when the failure has scrolled away.
      expect(notes).toEqual([
        'error [wal-level]: wal_level is replica. Set it.',
        'warning [old-version]: It is old. Upgrade it.',
      ]);
    },
  );

  test.concurrent('the failure contains all findings of preflight, however many', async () => {
    const migration = await migrations.start((world) => {
      world.findings = Array.from({ length: 30 }, (_, i) => ({
        ...{ level: 'error', code: `code-${i}`, action: 'Do this and that. '.repeat(20) },
        message: `object ${i} is not as it should be, ${'and so on '.repeat(20)}`,
      }));
    });
    expect(await migration.end()).toMatchObject({
      ...{ status: 'FAILED', type: 'Preflight' },
      text: text(/^preflight found 30 errors:\n1\. \[code-0\][^]*\n30\. \[code-29\] object 29 /),
    });
  });

  test.concurrent('a warning of preflight stays visible and stops nothing', async () => {
    const migration = await migrations.streaming((world) => {
      world.findings = [
        { level: 'warning', code: 'old-version', message: 'It is old', action: 'Upgrade it.' },
      ];
    });
    expect((await migration.progress()).notes).toEqual([
      'warning [old-version]: It is old. Upgrade it.',
    ]);
    await migration.ask('abort');
  });

  test.concurrent.each<[StepName, string]>([
    ['copySchema', 'schema'],
    ['createSlot', 'slot'],
  ])('an error of %s fails the migration and leaves nothing behind', async (step) => {
    const migration = await migrations.start((world) => {
      world.fail(step, 'SchemaFailed', 'type public.mood could not be created (SQLSTATE 42710)');
    });
    expect(await migration.end()).toMatchObject({
      ...{ status: 'FAILED', type: 'SchemaFailed' },
      text: 'type public.mood could not be created (SQLSTATE 42710)',
    });
    expect(migration.world.leftovers).toEqual([]);
    expect(migration.world.tables).toBe(false);
  });

  test.concurrent('a schema that cannot be removed is named with the cleanup command', async () => {
    const migration = await migrations.start((world) => {
      world.fail('createSlot', 'Denied', 'no right to replicate');
      world.fail('undoSchema', 'SchemaFailed', 'view public.v depends on it');
    });
    expect(await migration.end()).toMatchObject({
      ...{ status: 'FAILED', type: 'Denied' },
      text: text(
        /no right to replicate; the control schema is still on "orders_new" \(view .*walferry cleanup/,
      ),
    });
    expect(migration.world.slot).toBe(false);
  });

  test.concurrent(
    'an outage is not an error: the step is retried until the database is back',
    async () => {
      const migration = await migrations.start((world) => {
        world.fail('copySchema', 'Unreachable');
        world.fail('createSlot', 'SlotBlocked');
      });
      await migration.reaches('stream');
      expect(migration.world.count('copySchema')).toBe(2);
      await migration.ask('abort');
    },
  );
});

/** A migration that is held in each phase by the named step. */
const PHASES: [Phase, StepName][] = [
  ['preflight', 'preflight'],
  ['schema', 'copySchema'],
  ['schema', 'createSlot'],
  ['snapshot', 'planCopy'],
  ['snapshot', 'copyChunks'],
  ['indexes', 'buildIndexes'],
  ['indexes', 'buildConstraints'],
  ['stream', 'streamChanges'],
];

async function standingIn(phase: Phase, step: StepName): Promise<SimulatedMigration> {
  const migration = await migrations.start((world) => void world.hold(step));
  await migration.reaches(phase);
  await until(`${step} to run`, () => migration.world.isRunning(step));
  return migration;
}

async function standingInCutover(): Promise<SimulatedMigration> {
  const migration = await migrations.streaming();
  migration.world.hold('compareCounts');
  void migration.ask('cutover').catch(() => undefined);
  await until('counting', () => migration.world.isRunning('compareCounts'));
  return migration;
}

const hasRows = (phase: Phase) => phase !== 'preflight' && phase !== 'schema';

describe('abort', () => {
  test.concurrent.each(PHASES)(
    'in phase %s (%s) leaves neither slot nor control schema',
    async (phase, step) => {
      const migration = await standingIn(phase, step);
      const answer = await migration.ask('abort');
      expect(answer.text).toMatch(
        hasRows(phase)
          ? /^Aborted by the operator; the tables copied so far stay on "orders_new"/
          : /^Aborted by the operator; "orders_new" is unchanged/,
      );
      expect(await migration.end()).toMatchObject({ status: 'FAILED', type: 'Aborted' });
      expect(migration.world.leftovers).toEqual([]);
      expect(migration.world.tables).toBe(hasRows(phase));
      expect((await migration.progress()).phase).toBe('aborted');
    },
  );

  test.concurrent(
    'in the cutover ends both: the caller of the cutover gets the reason',
    async () => {
      const migration = await migrations.streaming();
      migration.world.hold('compareCounts');
      const cutover = migration.ask('cutover');
      await until('counting', () => migration.world.isRunning('compareCounts'));
      const [first, second] = await Promise.all([migration.ask('abort'), migration.ask('abort')]);
      expect(second).toEqual(first);
      expect(await cutover).toMatchObject({
        allowed: false,
        text: text(/^the migration ended: aborted/),
      });
      expect(await migration.end()).toMatchObject({ status: 'FAILED', type: 'Aborted' });
      expect(migration.world.leftovers).toEqual([]);
    },
  );

  test.concurrent('reports a slot that is kept', async () => {
    const migration = await migrations.streaming((world) => world.fail('dropSlot', 'Denied', 'no'));
    expect((await migration.ask('abort')).text).toMatch(/the slot is kept and retains WAL/);
    expect(await migration.end()).toMatchObject({ type: 'Aborted', text: text(/slot is kept/) });
  });
});

describe('cancel', () => {
  test.concurrent.each(PHASES)(
    'in phase %s (%s) cleans up and ends Canceled',
    async (phase, step) => {
      const migration = await standingIn(phase, step);
      await migration.handle.cancel();
      expect(await migration.end()).toMatchObject({ status: 'CANCELLED' });
      expect(migration.world.leftovers).toEqual([]);
      expect(migration.world.tables).toBe(hasRows(phase));
    },
  );

  test.concurrent('in the cutover cleans up and ends Canceled', async () => {
    const migration = await standingInCutover();
    await migration.handle.cancel();
    expect(await migration.end()).toMatchObject({ status: 'CANCELLED' });
    expect(migration.world.leftovers).toEqual([]);
  });

  test.concurrent('while it waits for the operator cleans up and ends Canceled', async () => {
    const migration = await migrations.start((world) =>
      world.fail('buildIndexes', 'ConstraintFailed'),
    );
    await migration.reaches('indexes', 'waiting');
    await migration.handle.cancel();
    expect(await migration.end()).toMatchObject({ status: 'CANCELLED' });
    expect(migration.world.leftovers).toEqual([]);
  });

  test.concurrent.each<[StepName, string, RegExp]>([
    [
      'dropSlot',
      'SlotKept',
      /^cancelled; the tables copied so far.*drop it: psql service=orders_old/,
    ],
    [
      'dropControl',
      'ControlKept',
      /^cancelled; .*remove it: walferry cleanup orders_old orders_new/,
    ],
  ])(
    'that cannot run %s ends Failed with the hint, because Canceled has no text',
    async (step, type, hint) => {
      const migration = await migrations.streaming((world) => world.fail(step, 'Denied', 'no'));
      await migration.handle.cancel();
      expect(await migration.end()).toMatchObject({ status: 'FAILED', type, text: text(hint) });
    },
  );
});

test.concurrent(
  'a programming error keeps the slot: the workflow task is retried, nothing is cleaned up',
  async () => {
    const broken = (world: World) => world.mangle('streamChanges', null);
    const migration = await migrations.start((world) => {
      world.leaseMs = 50;
      broken(world);
    });
    await until('the workflow task to fail', async () => {
      const { events } = await migration.handle.fetchHistory();
      return events?.some((event) => event.workflowTaskFailedEventAttributes != null);
    });
    expect((await migration.handle.describe()).status.name).toBe('RUNNING');
    expect(migration.world).toMatchObject({ slot: true, control: true });
    await migration.handle.terminate();
  },
);
