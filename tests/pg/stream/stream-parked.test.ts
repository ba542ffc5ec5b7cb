/** Streams that stay open between two leases: what the next lease takes over, what it does not, and that nothing is lost or repeated. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { compareLsn } from '../../../contract/lsn.ts';
import { MigrationError } from '../../../contract/failure.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { StreamReport } from '../../../contract/work.ts';
import type { StreamOptions } from '../../../postgres/stream/stream-options.ts';
import { ParkedStreams } from '../../../postgres/stream/parked.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { streamChanges } from '../../support/lease.ts';
import { Load, LOAD_TABLES, random } from '../../support/load.ts';
import { streamProcess } from '../../support/stream-child.ts';
import {
  drain,
  endMark,
  expectSame,
  OPTIONS,
  slotState,
  startMigration,
  storedLsn,
  testWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

/** `log` has no key: a change that is applied twice leaves a second row. The other tables are there for the comparison. */
const TABLES = /* sql */ `
  create table log (v int); alter table log replica identity full;
  create table t (id bigint primary key, v text); insert into t values (1, 'one');
  create type mood as enum ('so', 'la la'); create domain few as int check (value < 10);
  create table typed (id int primary key, m mood, ms mood[], f few, n numeric(9, 2) default 1.5, t text unique);
  create table part (id int primary key, m mood) partition by range (id);
  create table part_low partition of part for values from (0) to (100);`;

interface World {
  readonly migration: Migration;
  readonly parked: ParkedStreams;
  /** Leases that continued with what the previous one had left open. */
  continued: number;
  readonly lease: (options?: Partial<StreamOptions>, signal?: AbortSignal) => Promise<StreamReport>;
}

async function world(db: FreshPair, tables = TABLES, ms = 20_000): Promise<World> {
  const migration = await startMigration(db, tables);
  const parked = new ParkedStreams(ms);
  const self: World = {
    ...{ migration, parked, continued: 0 },
    lease: (options = {}, signal) => {
      const info = (message: string): void => {
        if (message === 'stream continues') self.continued += 1;
      };
      const work = { ...testWork(), ...(signal && { signal }) };
      const log = { ...work.log, info };
      return streamChanges(
        migration,
        { ...OPTIONS, leaseMs: 100, ...options },
        { ...work, log },
        parked,
      );
    },
  };
  return self;
}

/** One lease that lasts until `seen`. */
async function leaseUntil(self: World, seen: () => Promise<boolean>): Promise<StreamReport> {
  const end = new AbortController();
  const lease = self.lease({ leaseMs: 300_000 }, end.signal);
  try {
    await Promise.race([until('the lease to get that far', seen), lease]);
  } finally {
    end.abort(new Error('the test has seen enough'));
  }
  return lease;
}

/** Leases until one can leave its stream open: the first ones store what they see. */
async function park(self: World): Promise<void> {
  for (let lease = 0; lease < 3; lease += 1) {
    await self.lease();
    const stream = self.parked.take(self.migration);
    if (stream === null) continue;
    self.parked.park(stream);
    self.continued = 0;
    return;
  }
  throw new Error('no lease left its stream open');
}

/** Sessions of the migration on both sides. */
async function sessions(db: FreshPair): Promise<number> {
  const counts = await Promise.all(
    [db.sourceClient, db.targetClient].map(async (client) => {
      const { rows } = await client.query<{
        n: number;
      }>(/* sql */ `select count(*)::int as n from pg_stat_activity
                    where datname = current_database() and application_name like 'walferry%'`);
      return rows[0]?.n ?? 0;
    }),
  );
  return counts.reduce((sum, n) => sum + n, 0);
}

async function logOf(db: FreshPair): Promise<number[]> {
  const { rows } = await db.targetClient.query<{ v: number }>(
    /* sql */ `select v from log order by v`,
  );
  return rows.map(({ v }) => v);
}

async function epochOf(db: FreshPair): Promise<number> {
  const { rows } = await db.targetClient.query<{ epoch: number }>(
    /* sql */ `select epoch::int as epoch from walferry.migration`,
  );
  return rows[0]?.epoch ?? 0;
}

const failed = (lease: Promise<unknown>): Promise<string> =>
  lease.then(
    () => 'returned',
    (error: unknown) => (error instanceof MigrationError ? error.code : String(error)),
  );

test('a lease continues with the walsender of the previous one, and counts what it applies once', async () => {
  await using db = await freshPair();
  const self = await world(db);
  let written = 0;
  const write = () =>
    db.sourceClient.query(/* sql */ `insert into log values ($1)`, [(written += 1)]);
  // A stream stays open once the drift check that runs during the lease has ended: a busy machine needs longer for it, and when another
  // test changes a role's settings in between, the check makes the lease start again.
  for (let leaseMs = 1_000; leaseMs <= 6_000; leaseMs += 1_000) {
    await park(self);
    const { active } = await slotState(db, self.migration);
    expect(active).not.toBeNull();
    await write();
    const first = await self.lease({ leaseMs });
    await write();
    const second = await self.lease({ floor: first.confirmedLsn, leaseMs });
    const now = await slotState(db, self.migration);
    if (self.continued < 2 || now.active !== active) continue;
    expect(second).toMatchObject({ transactions: written, changes: written, reached: false });
    const rows = Array.from({ length: written }, (_, at) => at + 1);
    expect(await logOf(db)).toEqual(rows);
    const report = await drain(db, self.migration, { floor: second.confirmedLsn });
    expect(report).toMatchObject({ transactions: written, changes: written });
    await expectSame(db);
    return;
  }
  throw new Error('no lease went on after one that went on');
});

test('many short leases under load, with sessions cut within and between them, lose nothing and repeat nothing', async () => {
  await using db = await freshPair();
  const self = await world(db, LOAD_TABLES);
  const writer = new Load(() => connectTo(db.source), 3);
  const rnd = random(writer.seed);
  // The end of a lease often falls into one of these: some of its lines are read already, the others wait.
  let writing = true;
  const large = (async () => {
    await using client = await connectTo(db.source);
    let n = 0;
    for (; writing; n += 1) {
      await client.query(
        /* sql */ `insert into pair select -$1::int, 'k' || i, i from generate_series(1, 3000) i`,
        [n + 1],
      );
      await sleep(150);
    }
    return n;
  })();
  const cut = async (): Promise<void> => {
    const [client, which] = [
      [db.sourceClient, `backend_type = 'walsender'`] as const,
      [
        db.sourceClient,
        `application_name = 'walferry stream' and backend_type = 'client backend'`,
      ] as const,
      [db.targetClient, `application_name = 'walferry apply'`] as const,
      [db.targetClient, `application_name = 'walferry plan'`] as const,
    ][Math.floor(rnd() * 4)] ?? [db.sourceClient, 'false'];
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and ${which}`,
    );
  };
  const outcomes = new Map<string, number>();
  let floor = await storedLsn(db, self.migration);
  for (let lease = 0; lease < 24 || self.continued < 8; lease += 1) {
    if (lease > 60) break;
    const running = failed(
      self.lease({ floor, leaseMs: 400 + Math.floor(rnd() * 600), limits: { queueBytes: 40_000 } }),
    );
    if (rnd() < 0.3) {
      await sleep(rnd() * 900);
      await cut();
    }
    const outcome = await running;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (rnd() < 0.15) await cut();
    const stored = await storedLsn(db, self.migration);
    expect(compareLsn(stored, floor)).toBeGreaterThanOrEqual(0);
    expect(compareLsn((await slotState(db, self.migration)).confirmed, stored)).toBeLessThanOrEqual(
      0,
    );
    floor = stored;
  }
  writing = false;
  const larges = await large;
  await writer.stop();
  const report = await drain(db, self.migration, { floor, batchChanges: 5_000 });
  await self.parked.closeAll();
  process.stdout.write(
    `${self.continued} leases went on, leases ended: ${JSON.stringify([...outcomes])}\n`,
  );
  const { rows } = await db.sourceClient.query<{ name: string; last: string }>(
    /* sql */ `select format('%I.%I', schemaname, sequencename) as name, last_value::text as last from pg_sequences`,
  );
  for (const { name, last } of rows) {
    await db.targetClient.query(/* sql */ `select setval($1::regclass, $2)`, [name, last]);
  }
  await expectSame(db);
  // Counted in the same transaction as the rows: never twice (transactions without a change do not count).
  expect(report.transactions).toBeGreaterThan(larges);
  expect(report.transactions).toBeLessThanOrEqual(writer.committed + larges + 3);
  expect(self.continued).toBeGreaterThanOrEqual(8);
  for (const outcome of outcomes.keys()) expect(['Unreachable', 'returned']).toContain(outcome);
}, 180_000);

test('a stream that no lease takes closes its sessions and frees the slot, and so does the end of the worker', async () => {
  await using db = await freshPair();
  const self = await world(db, TABLES, 1_000);
  await park(self);
  expect(await sessions(db)).toBe(3);
  await until('the sessions to end', async () => (await sessions(db)) === 0);
  expect((await slotState(db, self.migration)).active).toBeNull();
  await db.sourceClient.query(/* sql */ `insert into log values (1)`);
  await park(self);
  expect(await sessions(db)).toBe(3);
  await self.parked.closeAll();
  await until('the slot', async () => (await slotState(db, self.migration)).active === null);
  await db.sourceClient.query(/* sql */ `insert into log values (2)`);
  await drain(db, self.migration);
  expect(await logOf(db)).toEqual([1, 2]);
});

test('a stream whose epoch was taken in between applies nothing of what it has received', async () => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  await db.sourceClient.query(/* sql */ `insert into log values (1)`);
  const { rows } = await db.sourceClient.query<{ lsn: string }>(
    /* sql */ `select pg_current_wal_lsn()::text as lsn`,
  );
  const stream = self.parked.take(self.migration);
  await until('the change', () => stream?.reader.waiting);
  if (stream) self.parked.park(stream);
  // Like another process that has not ended our sessions yet.
  await db.targetClient.query(/* sql */ `insert into log values (1)`);
  await db.targetClient.query(
    /* sql */ `update walferry.migration set epoch = epoch + 1, confirmed_lsn = $1, commit_lsn = null`,
    [rows[0]?.lsn],
  );
  await self.lease();
  expect(await logOf(db)).toEqual([1]);
  expect(self.continued).toBe(0);
  await drain(db, self.migration);
  await expectSame(db);
});

test('another process takes the slot from a stream that waits for its next lease', async () => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  const child = streamProcess(self.migration);
  await until('the other process', () => child.lines.includes('started'));
  await until('ours to close', () => self.parked.take(self.migration) === null);
  await db.sourceClient.query(/* sql */ `insert into log values (1)`);
  await until('the change', async () => (await logOf(db)).length === 1);
  child.process.kill('SIGKILL');
  await child.ended;
  await drain(db, self.migration);
  expect(await logOf(db)).toEqual([1]);
});

test.each<{ readonly title: string; readonly other: Partial<StreamOptions> }>([
  { title: 'another selection', other: { exclude: ['public.t'] } },
  {
    title: 'what the operator accepts',
    other: { ignore: { missingIdentity: ['public.t'], unlogged: [] } },
  },
  { title: 'the size of a batch', other: { batchChanges: 7 } },
  { title: 'other limits', other: { limits: { queueBytes: 10_000 } } },
])('a lease with other options does not continue with the stream: $title', async ({ other }) => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  await db.sourceClient.query(/* sql */ `insert into log values (1)`);
  await failed(self.lease({ ...other, leaseMs: 500 }));
  expect(self.continued).toBe(0);
  await drain(db, self.migration);
  expect(await logOf(db)).toEqual([1]);
});

test('a change that was not sent is recorded under the epoch of the continuing lease, and named', async () => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  const lease = failed(self.lease({ leaseMs: 30_000 }));
  await until('the lease to continue', () => self.continued === 1);
  await db.sourceClient.query(/* sql */ `
    alter table typed drop constraint typed_pkey; insert into typed (id) values (5); update typed set t = 'x'`);
  expect(await lease).toBe('StreamWarning');
  const { rows } = await db.targetClient.query(
    /* sql */ `select table_name from walferry.relation where state = 'resync'`,
  );
  expect(rows).toEqual([{ table_name: 'typed' }]);
});

test('a drain starts normally and leaves nothing open', async () => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  await db.sourceClient.query(/* sql */ `insert into log values (1)`);
  const report = await self.lease({ until: await endMark(db), leaseMs: 60_000 });
  expect(report.reached).toBe(true);
  expect(self.continued).toBe(0);
  expect(self.parked.take(self.migration)).toBeNull();
  await until('the slot', async () => (await slotState(db, self.migration)).active === null);
  expect(await logOf(db)).toEqual([1]);
});

const BETWEEN_LEASES: readonly {
  readonly title: string;
  readonly source?: string;
  readonly target?: string;
  /** The code that the next lease ends with. */
  readonly ends: string;
}[] = [
  {
    title: 'a table that was temporarily unlogged for an update',
    source: `alter table t set unlogged; update t set v = 'unsent'; alter table t set logged`,
    ends: 'Resync',
  },
  {
    title: 'a table that is unlogged on the target',
    target: `alter table t set unlogged`,
    ends: 'SchemaDrift',
  },
  {
    title: 'a table that is new on both sides',
    source: `create table public.fresh (id int primary key)`,
    target: `create table public.fresh (id int primary key)`,
    ends: 'Resync',
  },
  {
    title: 'a table that is gone on the target',
    target: `drop table t`,
    ends: 'SchemaDrift',
  },
];
test.each(BETWEEN_LEASES)(
  'what no change shows is found in the next lease, also when that continues with the open stream: $title',
  async ({ source, target, ends }) => {
    await using db = await freshPair();
    const self = await world(db);
    await park(self);
    if (source !== undefined) await db.sourceClient.query(source);
    if (target !== undefined) await db.targetClient.query(target);
    expect(await failed(self.lease({ leaseMs: 15_000 }))).toBe(ends);
    expect(self.continued).toBe(1);
  },
);

test('DDL on both sides between two leases: changes from before and after it arrive', async () => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'two')`);
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(/* sql */ `alter table t add n int default 7`);
  }
  await db.sourceClient.query(/* sql */ `insert into t values (3, 'three', 3)`);
  const report = await self.lease({ leaseMs: 1_500 });
  await drain(db, self.migration, { floor: report.confirmedLsn });
  await expectSame(db);
});

const OTHER_DEFAULT = /* sql */ `
  do $$ begin execute format('alter database %I set extra_float_digits = -3', current_database()); end $$`;
test.each([
  {
    title: 'the unique index that rows are found by',
    sql: `alter table t drop constraint t_pkey; create index on t (id)`,
    met: true,
  },
  { title: 'a default of the database', sql: OTHER_DEFAULT, met: true },
  { title: 'a default of the database, with no table met yet', sql: OTHER_DEFAULT, met: false },
])(
  'what the apply session caches about the target is read again after a change: $title',
  async ({ sql, met }) => {
    await using db = await freshPair();
    const self = await world(db);
    await park(self);
    await db.sourceClient.query(
      /* sql */ `insert into t values (2, 'two'); update t set v = 'one' where id = 1`,
    );
    // About the last lease's session: one that started normally and applied nothing has met no table.
    const arrived = async () =>
      (await db.targetClient.query(/* sql */ `select from t where id = 2`)).rowCount === 1;
    await until('the change', async () => {
      await self.lease({ leaseMs: 2_000 });
      return arrived();
    });
    if (!met) await self.parked.closeAll();
    await park(self);
    await db.targetClient.query(sql);
    const before = await epochOf(db);
    // Its own epoch, and that of a normal start, which follows when the drift check finds the change.
    const report = await leaseUntil(self, async () => (await epochOf(db)) > before + 1);
    expect(self.continued).toBe(1);
    await db.sourceClient.query(/* sql */ `update t set v = 'three' where id = 2`);
    await drain(db, self.migration, { floor: report.confirmedLsn });
    await expectSame(db);
  },
);

test('a trigger that is created on the target between two leases fires for no change', async () => {
  await using db = await freshPair();
  const self = await world(db);
  await park(self);
  await db.targetClient.query(/* sql */ `
    create function double() returns trigger language plpgsql as $$ begin new.v := new.v * 2; return new; end $$;
    create trigger double before insert on log for each row execute function double();
    alter table log enable always trigger double`);
  await db.sourceClient.query(/* sql */ `insert into log values (1)`);
  const report = await self.lease({ leaseMs: 1_500 });
  await drain(db, self.migration, { floor: report.confirmedLsn });
  expect(await logOf(db)).toEqual([1]);
});
