/** Anchors: both sides are read at one state while the application writes, and the stream is held up by no one for long. */
import { afterEach, expect, test } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import type { Migration } from '../../../contract/migration.ts';
import { ParkedStreams } from '../../../postgres/stream/parked.ts';
import { liveAnchor, withAnchor } from '../../../postgres/verification/anchor.ts';
import { ManualOwner, readAt } from '../../support/anchor.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { streamChanges } from '../../support/lease.ts';
import {
  drain,
  expectSame,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
  type TestWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id int primary key, v text); insert into t values (1, 'one')`;

const ended: Promise<unknown>[] = [];
afterEach(() => Promise.allSettled(ended.splice(0)));

/** A consistent migration whose stream runs until `work` is aborted. */
async function running(
  db: FreshPair,
  options: Partial<typeof OPTIONS> = {},
): Promise<{ migration: Migration; work: TestWork; lease: Promise<unknown> }> {
  const migration = await startMigration(db, TABLE);
  await drain(db, migration);
  const work = testWork();
  const lease = streamChanges(migration, { ...OPTIONS, ...options }, work);
  lease.catch(() => undefined);
  ended.push(lease);
  await untilStreaming(db, migration);
  return { migration, work, lease };
}

const codeOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'returned',
    (error: unknown) =>
      error instanceof MigrationError ? `${error.code}: ${error.message}` : String(error),
  );

const ROWS = /* sql */ `select id, v from t order by id`;

test('while an anchor is held the application writes on and the stream applies it; the snapshots stay as they are', async () => {
  await using db = await freshPair();
  const { migration, work } = await running(db);
  await withAnchor(migration, testWork(), async (anchor) => {
    expect(await liveAnchor(db.targetClient, migration)).toEqual(anchor);
    await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
    await until('the change', async () => {
      return (await db.targetClient.query(/* sql */ `select from t`)).rowCount === 2;
    });
    expect(await readAt(db.source, anchor.sourceSnapshot, ROWS)).toEqual([{ id: 1, v: 'one' }]);
    expect(await readAt(db.target, anchor.targetSnapshot, ROWS)).toEqual([{ id: 1, v: 'one' }]);
  });
  expect(await liveAnchor(db.targetClient, migration)).toBeNull();
  work.abort();
});

test('short leases that continue with the sessions of the previous one stand, too', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await drain(db, migration);
  const parked = new ParkedStreams(20_000);
  const over = new AbortController();
  let continued = 0;
  const work = testWork();
  const info = (message: string): void => {
    if (message === 'stream continues') continued += 1;
  };
  const leases = (async () => {
    while (!over.signal.aborted) {
      const log = { ...work.log, info };
      await streamChanges(migration, { ...OPTIONS, leaseMs: 500 }, { ...work, log }, parked);
    }
  })();
  ended.push(leases);
  leases.catch(() => undefined);
  const ids: unknown[] = [];
  for (let id = 2; id <= 4; id += 1) {
    await until('a lease to continue', () => continued >= id);
    await db.sourceClient.query(/* sql */ `insert into t values ($1, 'more')`, [id]);
    await withAnchor(migration, testWork(), async ({ sourceSnapshot, targetSnapshot }) => {
      const here = await readAt(db.source, sourceSnapshot, ROWS);
      expect(await readAt(db.target, targetSnapshot, ROWS)).toEqual(here);
      ids.push(here.length);
    });
  }
  over.abort();
  await leases;
  await parked.closeAll();
  expect(ids).toEqual([2, 3, 4]);
});

test('an anchor is refused, with the reason, when no stream runs and when a table has not caught up', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const ask = () =>
    codeOf(withAnchor(migration, testWork(), () => Promise.resolve(), { standMs: 300 }));
  expect(await ask()).toMatch(/^AnchorRefused: .*not every table has caught up/);
  await drain(db, migration);
  expect(await ask()).toMatch(/^AnchorRefused: .*the stream does not run/);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'test'`,
  );
  expect(await ask()).toMatch(/^AnchorRefused: .*not every table has caught up/);
});

test('what the snapshot shows is applied on the way to it, also when that is more than a batch', async () => {
  await using db = await freshPair();
  const { migration, work } = await running(db, { batchChanges: 50 });
  await using owner = await ManualOwner.ask(db, migration);
  await owner.untilState('standing');
  const rows = (from: number, to: number) =>
    db.sourceClient.query(
      /* sql */ `insert into t select i, 'many' from generate_series($1::int, $2::int) i`,
      [from, to],
    );
  await rows(2, 200);
  for (let id = 201; id < 300; id += 1) await rows(id, id);
  await owner.take();
  await rows(300, 400);
  await owner.untilState('reached');
  // The stream waits for the owner's snapshot of the target.
  expect((await db.targetClient.query(/* sql */ `select from t`)).rowCount).toBe(299);
  await until('the rest', async () => {
    return (await db.targetClient.query(/* sql */ `select from t`)).rowCount === 400;
  });
  work.abort();
  await drain(db, migration);
  await expectSame(db);
});

test('an owner that takes no snapshot, or dies, holds up the stream for a moment only', async () => {
  await using db = await freshPair();
  const { migration, work } = await running(db);
  const write = async (id: number): Promise<void> => {
    await db.sourceClient.query(/* sql */ `insert into t values ($1, 'later')`, [id]);
    await until('the change', async () => {
      return (
        (await db.targetClient.query(/* sql */ `select from t where id = $1`, [id])).rowCount === 1
      );
    });
  };
  {
    await using slow = await ManualOwner.ask(db, migration);
    await slow.untilState('standing');
    await write(2);
    expect(await slow.reason()).toContain('took no snapshot of the source in time');
  }
  const dead = await ManualOwner.ask(db, migration);
  await dead.untilState('standing');
  await dead[Symbol.asyncDispose]();
  await write(3);
  work.abort();
});

test('a pause does not wait for an anchor', async () => {
  await using db = await freshPair();
  const { migration, work, lease } = await running(db);
  await using owner = await ManualOwner.ask(db, migration);
  await owner.untilState('standing');
  work.abort();
  expect(await lease).toMatchObject({ reached: false });
  // The limit for the owner has not passed: the request would have been given up.
  expect((await owner.asked())?.state).toBe('standing');
  // Nor may the next attempt use the snapshot: it does not know what was applied in between.
  const next = testWork();
  ended.push(streamChanges(migration, OPTIONS, next));
  await owner.untilState('given up');
  expect(await owner.reason()).toContain('started again');
  next.abort();
});

test('a drain refuses an anchor', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await drain(db, migration);
  await using owner = await ManualOwner.ask(db, migration);
  await drain(db, migration);
  expect(await owner.asked()).toMatchObject({ state: 'given up' });
  expect(await owner.reason()).toContain('drains');
});

test('a table that is altered while the stream stands ends the anchor, and nothing is lost', async () => {
  await using db = await freshPair();
  const { migration, work } = await running(db);
  await using owner = await ManualOwner.ask(db, migration);
  await owner.untilState('standing');
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'before')`);
  const ddl = /* sql */ `alter table t add column w int`;
  await db.targetClient.query(ddl);
  await db.sourceClient.query(`${ddl}; insert into t values (3, 'after', 3)`);
  await owner.take();
  await owner.untilState('given up');
  await until('the rows', async () => {
    return (await db.targetClient.query(/* sql */ `select from t`)).rowCount === 3;
  });
  work.abort();
  await drain(db, migration);
  await expectSame(db);
});

test('an anchor ends with its sessions, with its time, and when a later owner takes over; each is said', async () => {
  await using db = await freshPair();
  const { migration, work } = await running(db);
  const hold = (holdMs?: number) => {
    let begun = (): void => undefined;
    const held = new Promise<void>((resolve) => (begun = resolve));
    const outcome = codeOf(
      withAnchor(
        migration,
        testWork(),
        async (_, signal) => {
          begun();
          await new Promise((_resolve, reject) => {
            const end = (): void => reject(new Error('the anchor is over'));
            if (signal.aborted) end();
            else signal.addEventListener('abort', end);
          });
        },
        holdMs === undefined ? {} : { holdMs },
      ),
    );
    return { held: Promise.race([held, outcome]), outcome };
  };
  const cut = hold();
  await cut.held;
  await db.sourceClient.query(/* sql */ `select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'walferry anchor' and datname = current_database()`);
  expect(await cut.outcome).toMatch(/^AnchorLost: .*session on the source ended/);
  expect(await hold(400).outcome).toMatch(/^AnchorLost: .* s are over/);
  const first = hold();
  await first.held;
  await withAnchor(migration, testWork(), (anchor) =>
    readAt(db.target, anchor.targetSnapshot, ROWS),
  );
  expect(await first.outcome).toMatch(/^AnchorLost: .*session on the (source|target) ended/);
  work.abort();
});
