/** Verification beside the stream: `verify`, `repair`, the input's `verify`, and what a stream that stops does to them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { standingOf } from '../../contract/verification-state.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations, type SimulatedMigration } from './workflow/migrations.ts';
import type { World } from './workflow/world.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

const INPUT = { source: 'orders_old', target: 'orders_new' };
const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);

/** One that verifies only when asked, and streams. */
function asked(prepare: (world: World) => void = () => undefined) {
  return streaming('off', prepare);
}

async function streaming(
  verify: 'off' | 'before-cutover' | 'continuous',
  prepare: (world: World) => void = () => undefined,
) {
  const migration = await migrations.start(prepare, { ...INPUT, verify });
  await until('the stream on a consistent target', () => {
    const { world } = migration;
    return world.count('buildConstraints') > 0 && world.isRunning('streamChanges');
  });
  return migration;
}

async function verificationOf(migration: SimulatedMigration) {
  const { verification } = await migration.progress();
  return verification ?? expect.fail('no verification');
}

/** Waits until the newest result is `equal`. */
const equal = (migration: SimulatedMigration) =>
  until('the result', async () => {
    const { verification } = await migration.progress();
    return verification && standingOf(verification) === 'equal';
  });

/** Waits until pieces are being compared. */
const comparing = ({ world }: SimulatedMigration) =>
  until('a comparison', () => world.isRunning('comparePieces'));

describe('verify', () => {
  test.concurrent(
    'answers with the result of all pieces, each compared once, while the stream runs on',
    async () => {
      const migration = await asked();
      const { world } = migration;
      const before = world.confirmed;
      expect(await migration.ask('verify')).toEqual({
        allowed: true,
        text: text(
          /^Equal: every row is the same on both sides \(2 tables, 600 rows, 65\.5 kB, at [0-9A-F]+\/[0-9A-F]+, in 42 s\)\. Definitions do not differ\.$/,
        ),
      });
      expect([...world.verifications.comparisons.values()]).toEqual([1, 1, 1, 1]);
      expect(world.confirmed).toBeGreaterThan(before);
      expect(world.count('fenceStream')).toBe(0);
      const state = await verificationOf(migration);
      expect(standingOf(state)).toBe('equal');
      expect(state).toMatchObject({ running: null, failed: null, outdated: false });
      expect(await migration.details()).toContain('- last verification equal: 2 tables, 600 rows');
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
    },
  );

  test.concurrent('a second call joins the first: one verification, one answer', async () => {
    const migration = await asked();
    const { world } = migration;
    const release = world.hold('comparePieces');
    const first = migration.ask('verify');
    await comparing(migration);
    const second = migration.ask('verify');
    expect((await verificationOf(migration)).running).toMatchObject({
      ...{ repairs: null, by: 'operator', slices: 1 },
      counters: { tables: 2, tablesDone: 0, pieces: 4 },
    });
    expect(await migration.details()).toMatch(/- verification since .*: 0 of 2 tables compared/);
    release();
    expect((await second).text).toBe((await first).text);
    expect(world.verifications.reported).toHaveLength(1);
    expect((await migration.ask('verify')).text).toContain('Equal');
    expect(world.verifications.reported).toHaveLength(2);
    await migration.ask('abort');
  });

  test.concurrent(
    'a verification that takes several anchors compares no piece twice, and never holds two at the same time',
    async () => {
      const migration = await asked((world) => {
        world.verifications.piecesTotal = 12;
        world.verifications.piecesPerSlice = 5;
      });
      const { verifications } = migration.world;
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect(verifications.anchorsTaken).toBeGreaterThan(1);
      expect(verifications.mostAnchors).toBe(1);
      expect([...verifications.comparisons.values()]).toEqual(Array.from({ length: 12 }, () => 1));
      await migration.ask('abort');
    },
  );

  test.concurrent('is refused while the target is not consistent, and takes no input', async () => {
    const migration = await migrations.start(
      (world) => {
        // Two passes: the stream has to reach the position of the second one first.
        world.rewritten.add('1:3');
        world.consistentAt = 2n ** 60n;
        world.script('streamChanges', async ({ signal, beat }) => {
          while (!signal.aborted) {
            beat({ behind: true });
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        });
      },
      { ...INPUT, verify: 'before-cutover' },
    );
    const { world } = migration;
    await until('the stream', () => world.isRunning('streamChanges'));
    expect((await migration.ask('verify')).text).toMatch(/^the target is not consistent yet/);
    expect((await migration.ask('repair')).text).toMatch(/^the target is not consistent yet/);
    expect(await migration.ask('verify', { tables: ['public.*'] })).toEqual({
      ...{ allowed: false, type: 'Refused', text: 'omit the input of verify: it takes none' },
    });
    expect(world.count('holdAnchor')).toBe(0);
    await migration.ask('abort');
  });

  test.concurrent(
    'what cannot be compared now is retried and shown, and a call tries again at once',
    async () => {
      const migration = await asked((world) => {
        for (let i = 0; i < 4; i++) world.fail('holdAnchor', 'Contention', 'too much in between');
      });
      const { world } = migration;
      const first = migration.ask('verify');
      const state = await until('the failure', async () => {
        const { verification } = await migration.progress();
        return verification?.running?.failing ? verification : undefined;
      });
      expect(state.running?.failing).toMatchObject({
        ...{ code: 'Contention', reason: 'too much in between' },
      });
      expect((await migration.progress()).notes?.join()).toMatch(
        /has not proceeded since .* keeps retrying: too much in between \(`Contention`\)/,
      );
      expect(await migration.progress()).toMatchObject({ state: 'running', waiting: null });
      expect(world.isRunning('streamChanges')).toBe(true);
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect((await first).text).toContain('Equal');
      // The call ended the pause of ten seconds before its timer fired.
      const { events } = await migration.handle.fetchHistory();
      const fired = events?.filter((event) => event.timerFiredEventAttributes != null);
      expect(fired).toEqual([]);
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'a failure that needs a person ends it with the reason, and the migration streams on',
    async () => {
      const migration = await asked((world) => {
        world.fail('concludeVerification', 'Denied', 'permission denied for table public.orders');
      });
      expect(await migration.ask('verify')).toEqual({
        ...{ allowed: false, type: 'Denied' },
        text: text(/^the verification ended without a result: permission denied .*; call it again/),
      });
      expect((await verificationOf(migration)).failed).toMatchObject({ code: 'Denied' });
      expect((await migration.progress()).state).toBe('running');
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect((await verificationOf(migration)).failed).toBeNull();
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'a worker that shuts down hands over its anchor and its runs, and the caller notices nothing',
    async () => {
      const own = await Migrations.open(temporalServer().address);
      try {
        const migration = await own.start(() => undefined, { ...INPUT, verify: 'off' });
        const { world } = migration;
        await until('the stream on a consistent target', () => {
          return world.count('buildConstraints') > 0 && world.isRunning('streamChanges');
        });
        world.hold('comparePieces');
        const verify = migration.ask('verify');
        await comparing(migration);
        await own.startWorker();
        await own.workers[0]?.shutDown();
        expect((await verify).text).toContain('Equal');
        expect(world.verifications.reported).toHaveLength(1);
        expect(world.verifications.anchorsTaken).toBeGreaterThan(1);
        await migration.ask('abort');
      } finally {
        await own[Symbol.asyncDispose]();
      }
    },
  );

  test.concurrent(
    'an owner of an anchor that wakes up after its attempt was given up does no harm',
    async () => {
      const migration = await asked((world) => {
        // It neither sends heartbeats nor stops, like a frozen machine.
        world.script('holdAnchor', () => new Promise((resolve) => setTimeout(resolve, 20_000)));
      });
      const { world } = migration;
      expect((await migration.ask('verify')).text).toContain('Equal');
      await until('it to wake up and end', () => !world.isRunning('holdAnchor'));
      expect(world.verifications.anchors).toBe(0);
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect(world.verifications.reported).toHaveLength(2);
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'runs that find nothing to do under an anchor are not planned without end',
    async () => {
      const migration = await asked();
      const { world } = migration;
      for (let i = 0; i < 2; i++) world.mangle('comparePieces', { pieces: 0, rows: 0, bytes: 0 });
      // Each plan lists the same pieces again.
      world.verifications.parallelism = 1;
      world.verifications.piecesPerRun = 4;
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect(world.count('planVerification')).toBeLessThan(5);
      await migration.ask('abort');
    },
  );
});

describe('repair', () => {
  test.concurrent(
    'copies the rows again that the newest verification found, and answers with the result of comparing them',
    async () => {
      const migration = await asked((world) => {
        world.verifications.differing = [{ table: 'public.orders', keys: 3, more: false }];
      });
      const { verifications } = migration.world;
      expect((await migration.ask('repair')).text).toMatch(/^nothing to repair/);
      expect((await migration.ask('verify')).text).toMatch(
        /^Different: 3 rows differ in public\.orders \(3\) .* repair copies these rows again\. Definitions do not differ\.$/,
      );
      expect(standingOf(await verificationOf(migration))).toBe('different');
      expect((await migration.progress()).notes).toEqual([
        '3 rows differ in public.orders (3): repair copies these rows again',
      ]);
      expect(await migration.details()).toContain('--name repair');
      expect((await migration.ask('repair')).text).toMatch(
        /^Repaired 3 rows and compared them again\. Equal: .*, at [0-9A-F/]+\)\.$/,
      );
      expect(verifications.repaired).toEqual(verifications.reported.slice(0, 1));
      expect(standingOf(await verificationOf(migration))).toBe('equal');
      expect((await migration.progress()).notes).toEqual([]);
      expect((await migration.ask('repair')).text).toMatch(/^nothing to repair/);
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'rows that still differ after it are named, and can be repaired again',
    async () => {
      const migration = await asked((world) => {
        world.verifications.differing = [{ table: 'public.orders', keys: 1, more: false }];
        world.verifications.repairsNothing = true;
      });
      const { verifications } = migration.world;
      await migration.ask('verify');
      expect((await migration.ask('repair')).text).toMatch(/Different: 1 row differ/);
      expect(standingOf(await verificationOf(migration))).toBe('different');
      verifications.repairsNothing = false;
      expect((await migration.ask('repair')).text).toContain('Equal');
      const [found] = verifications.reported;
      expect(verifications.repaired).toEqual([found, found]);
      expect(standingOf(await verificationOf(migration))).toBe('equal');
      await migration.ask('abort');
    },
  );

  test.concurrent('neither runs beside the other', async () => {
    const migration = await asked((world) => {
      world.verifications.differing = [{ table: 'public.orders', keys: 1, more: false }];
    });
    const { world } = migration;
    await migration.ask('verify');
    const release = world.hold('repairRows');
    const repair = migration.ask('repair');
    await until('the repair', () => world.isRunning('repairRows'));
    expect((await migration.ask('verify')).text).toMatch(/rows are being repaired: call verify/);
    release();
    await repair;
    const compare = world.hold('comparePieces');
    const verify = migration.ask('verify');
    await comparing(migration);
    expect((await migration.ask('repair')).text).toMatch(/^a verification is running: call repair/);
    compare();
    expect((await verify).text).toContain('Equal');
    await migration.ask('abort');
  });

  test.concurrent('one that fails for good is over: the next call begins again', async () => {
    const migration = await asked((world) => {
      world.verifications.differing = [{ table: 'public.orders', keys: 1, more: false }];
      world.fail('repairRows', 'ChangeFailed', 'a row of public.orders violates a constraint');
    });
    await migration.ask('verify');
    expect(await migration.ask('repair')).toMatchObject({
      ...{
        allowed: false,
        type: 'ChangeFailed',
        text: text(/violates a constraint; call it again/),
      },
    });
    expect((await migration.ask('repair')).text).toMatch(
      /^Repaired 1 row and compared it again\. Equal/,
    );
    await migration.ask('abort');
  });
});

describe('when the stream stops', () => {
  test.concurrent(
    'a pause ends the wait at once, and the verification continues after resume where it was',
    async () => {
      const migration = await asked((world) => void (world.verifications.piecesPerRun = 1));
      const { world } = migration;
      world.script('comparePieces', () => Promise.resolve());
      const release = world.hold('comparePieces');
      const verify = migration.ask('verify');
      await until('a compared piece', () => world.verifications.comparisons.size > 0);
      const pause = migration.ask('pause');
      expect(await verify).toEqual({
        ...{ allowed: false, type: 'Ended' },
        text: text(
          /^the verification was interrupted because the migration was paused: .* resume|streams again/,
        ),
      });
      expect((await pause).text).toMatch(/^Paused at/);
      release();
      await until('the anchor to end', () => world.verifications.anchors === 0);
      expect(await migration.ask('verify')).toMatchObject({ allowed: false, type: 'Refused' });
      const { running } = await verificationOf(migration);
      expect(running).not.toBeNull();
      await migration.ask('resume');
      const answer = await migration.ask('verify');
      expect(answer.text).toContain('Equal');
      expect(world.verifications.reported).toEqual([running?.id]);
      expect([...world.verifications.comparisons.values()]).toEqual([1, 1, 1, 1]);
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'a resume right after the pause takes up the work, without two anchors',
    async () => {
      const migration = await asked();
      const { world } = migration;
      world.hold('comparePieces');
      const verify = migration.ask('verify');
      await comparing(migration);
      const pause = await migration.handle.startUpdate<string, []>('pause', {
        waitForStage: 'ACCEPTED',
      });
      await migration.ask('resume');
      await pause.result();
      expect((await verify).type).toBe('Ended');
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect(world.verifications.mostAnchors).toBe(1);
      expect(world.verifications.reported).toHaveLength(1);
      await migration.ask('abort');
    },
  );

  test.concurrent.each(['abort', 'cancel'] as const)(
    '%s ends it at once, and everything of it has ended before the control schema is removed',
    async (how) => {
      const migration = await asked();
      const { world } = migration;
      // It ends some time after it was asked to: an end that did not wait would overtake it.
      world.script('comparePieces', () => new Promise((resolve) => setTimeout(resolve, 4_000)));
      const verify = migration.ask('verify');
      await comparing(migration);
      world.script('dropControl', () => {
        expect(world.verifications.anchors).toBe(0);
        expect(world.isRunning('comparePieces')).toBe(false);
        return Promise.resolve();
      });
      if (how === 'abort') await migration.ask('abort');
      else await migration.handle.cancel();
      expect(await verify).toMatchObject({
        ...{ allowed: false, type: 'Ended' },
        text: 'the verification ended without a result, with the migration',
      });
      expect((await migration.end()).status).toBe(how === 'abort' ? 'FAILED' : 'CANCELLED');
      expect(world.leftovers).toEqual([]);
      expect((await verificationOf(migration)).running).toBeNull();
    },
  );

  test.concurrent(
    'with before-cutover, a cutover is refused while the first verification runs, which it does not interrupt, and after its end it is not',
    async () => {
      const migration = await streaming('before-cutover', (world) => {
        world.verifications.piecesPerRun = 1;
      });
      const { world } = migration;
      const release = world.hold('comparePieces');
      await comparing(migration);
      const refused = {
        ...{ allowed: false, type: 'NotReady' },
        text: text(
          /^cutover refused, the verification continues: not ready: blocks \[verification-missing\]: the first verification has not ended yet\. Call `verify` and wait for its result, or accept/,
        ),
      };
      // As often as an operator who is in a hurry.
      for (let call = 0; call < 3; call += 1)
        expect(await migration.ask('cutover')).toEqual(refused);
      expect(await migration.ask('cutover', { accept: ['index-invalid'] })).toEqual(refused);
      expect(world.count('holdAnchor')).toBe(1);
      expect(world.count('writeEndMark')).toBe(0);
      expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
      release();
      await equal(migration);
      expect([...world.verifications.comparisons.values()]).toEqual([1, 1, 1, 1]);
      expect((await migration.ask('cutover')).allowed).toBe(true);
      expect((await migration.end()).status).toBe('COMPLETED');
    },
  );

  test.concurrent(
    'a rehearsal interrupts no verification whose result it needs, and is not refused where it accepts to have none',
    async () => {
      const input = { ...INPUT, verify: 'before-cutover', fence: 'trigger' };
      const migration = await migrations.streaming(undefined, input);
      const { world } = migration;
      const release = world.hold('comparePieces');
      await comparing(migration);
      expect(await migration.ask('rehearse')).toMatchObject({
        ...{ allowed: false, type: 'NotReady' },
        text: text(/^rehearsal refused, the verification continues: .*\[verification-missing\]/),
      });
      expect(world.count('holdAnchor')).toBe(1);
      expect((await migration.ask('rehearse', { accept: ['unknown'] })).text).toMatch(
        /^"accept" must be a list of findings/,
      );
      const accept = ['verification-missing'];
      expect((await migration.ask('rehearse', { accept })).text).toMatch(/^Rehearsed without/);
      release();
      // Accepted for the rehearsal alone.
      expect((await migration.progress()).accepted).toBeUndefined();
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'a cutover that waits for approval lets a verification end whose result it needs',
    async () => {
      const input = { ...INPUT, verify: 'before-cutover', approval: 'required' };
      const migration = await migrations.streaming(undefined, input);
      const { world } = migration;
      const release = world.hold('comparePieces');
      await comparing(migration);
      await migration.ask('cutover');
      const end = migration.ask('await-cutover');
      await migration.ask('approve', { name: 'Ada' });
      expect(await migration.progress()).toMatchObject({ phase: 'stream', state: 'running' });
      release();
      expect(await end).toMatchObject({ allowed: true, text: text(/^Cutover complete/) });
      expect([...world.verifications.comparisons.values()]).toEqual([1, 1, 1, 1]);
    },
  );

  test.concurrent.each([
    ['failed', (world: World) => world.fail('concludeVerification', 'Denied', 'no right on a.b')],
    [
      'did not compare everything',
      (world: World) => (world.verifications.notCompared = ['public.orders: was locked']),
    ],
  ] as const)(
    'a cutover after a verification that %s is refused with the reason, and begins when the operator accepts that by name',
    async (_, prepare) => {
      const migration = await streaming('before-cutover', (world) => void prepare(world));
      const { world } = migration;
      await until('an end of the verification', async () => {
        const { verification } = await migration.progress();
        return verification?.failed ?? verification?.last;
      });
      expect(await migration.ask('cutover')).toMatchObject({
        ...{ allowed: false, type: 'NotReady' },
        text: text(/\[verification-missing\]: the .*(no right on a\.b|public\.orders: was locked)/),
      });
      expect(world.count('writeEndMark')).toBe(0);
      expect(await migration.ask('cutover', { accept: ['verification-missing'] })).toMatchObject({
        allowed: true,
      });
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(await migration.progress()).toMatchObject({ accepted: ['verification-missing'] });
    },
  );

  test.concurrent(
    'a cutover does not wait for it, and one that is undone lets it continue',
    async () => {
      const migration = await asked((world) => void (world.late = ['public.orders']));
      const { world } = migration;
      world.hold('comparePieces');
      const verify = migration.ask('verify');
      await comparing(migration);
      const cutover = await migration.ask('cutover');
      expect(cutover.text).toContain('changed after the end mark');
      expect((await verify).text).toMatch(/interrupted because a cutover began/);
      const { running } = await verificationOf(migration);
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect(world.verifications.reported).toEqual([running?.id]);
      world.late = [];
      world.hold('comparePieces');
      const again = migration.ask('verify');
      await comparing(migration);
      expect((await migration.ask('cutover')).text).toMatch(/^Cutover complete/);
      expect((await again).type).toBe('Ended');
      expect((await migration.end()).status).toBe('COMPLETED');
      expect(world.leftovers).toEqual([]);
    },
  );

  test.concurrent(
    'a migration that waits for its operator interrupts it until resume',
    async () => {
      const migration = await asked();
      const { world } = migration;
      world.hold('comparePieces');
      const verify = migration.ask('verify');
      await comparing(migration);
      world.leaseMs = 0;
      await migration.ask('pause');
      world.fail('streamChanges', 'RowMissing');
      await migration.ask('resume');
      await migration.reaches('stream', 'waiting');
      expect((await verify).text).toContain('paused');
      expect((await migration.ask('verify')).text).toMatch(/resume first, call verify or repair/);
      world.leaseMs = undefined;
      await migration.ask('resume');
      expect((await migration.ask('verify')).text).toContain('Equal');
      expect(world.verifications.reported).toHaveLength(1);
      await migration.ask('abort');
    },
  );

  test.concurrent(
    'a resync makes the newest result outdated: rows of a resync are compared again',
    async () => {
      const migration = await streaming('before-cutover', (w) => void (w.leaseMs = 500));
      const { world } = migration;
      await equal(migration);
      await migration.ask('pause');
      world.script('streamChanges', async () => {
        world.done.delete(0);
        const { MigrationError } = await import('../../contract/failure.ts');
        throw new MigrationError('Resync', 'public.orders was rewritten');
      });
      const release = world.hold('copyChunks');
      await migration.ask('resume');
      await until('the resync', () => world.isRunning('copyChunks'));
      expect(standingOf(await verificationOf(migration))).toBe('outdated');
      release();
      await until('the second report', () => world.verifications.reported.length === 2, {
        seconds: 60,
      });
      await until(
        'the result',
        async () => standingOf(await verificationOf(migration)) === 'equal',
      );
      await migration.ask('abort');
    },
  );
});

describe('the input', () => {
  test.concurrent(
    'before-cutover compares once, as soon as the target is complete, and not again in every lease',
    async () => {
      const migration = await streaming('before-cutover', (world) => void (world.leaseMs = 200));
      const { world } = migration;
      await until('a report', () => world.verifications.reported.length > 0);
      const leases = world.count('streamChanges');
      await until('more leases', () => world.count('streamChanges') > leases + 5);
      expect(world.verifications.reported).toHaveLength(1);
      const activities = await migration.activities();
      expect(activities.indexOf('buildConstraints')).toBeLessThan(activities.indexOf('holdAnchor'));
      expect((await verificationOf(migration)).last?.report.result).toBe('equal');
      await migration.ask('abort');
    },
  );

  test.concurrent('off compares nothing that was not asked for', async () => {
    const migration = await streaming('off', (world) => void (world.leaseMs = 100));
    const { world } = migration;
    const leases = world.count('streamChanges');
    await until('some leases', () => world.count('streamChanges') > leases + 5);
    expect(world.count('holdAnchor')).toBe(0);
    const { verify, verification } = await migration.progress();
    expect({ verify, verification }).toEqual({ verify: 'off' });
    await migration.ask('abort');
  });

  test.concurrent('a failure that needs a person is not retried in every lease', async () => {
    const migration = await streaming('continuous', (world) => {
      world.leaseMs = 100;
      for (let i = 0; i < 9; i++) world.fail('concludeVerification', 'Denied', 'permission denied');
    });
    const { world } = migration;
    await until('the failure', async () => (await migration.progress()).verification?.failed);
    const leases = world.count('streamChanges');
    await until('some leases', () => world.count('streamChanges') > leases + 5);
    expect(world.count('concludeVerification')).toBe(1);
    expect((await migration.progress()).state).toBe('running');
    await migration.ask('abort');
  });
});
