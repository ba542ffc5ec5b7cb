/**
 * A source with synchronous replication whose standby does not answer: the stream gets a transaction as soon as it is in the WAL, and
 * other sessions see it only when the standby has it. The file uses its own server, because the setting applies to all of it.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareLsn, isLsn, parseLsn, type Lsn } from '../../../contract/lsn.ts';
import { withAnchor } from '../../../postgres/verification/anchor.ts';
import { barrierRow, ManualOwner, readAt } from '../../support/anchor.ts';
import { streamChanges } from '../../support/lease.ts';
import { observed } from '../../support/observed.ts';
import { streamProcess } from '../../support/stream-child.ts';
import type { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { resync, drainWithCopies } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';
import {
  drain,
  expectSame,
  OPTIONS,
  slotState,
  untilStreaming,
  startMigration,
  storedLsn,
  testWork,
  type TestWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';

const TABLE = /* sql */ `create table t (id int primary key, v text)`;

let source: PostgresServer & AsyncDisposable;

beforeAll(async () => {
  source = await serverOf('source', { folder: testRun().source.programs, version: 'synchronous' });
  await source.query('postgres', async (client) => {
    // Waits for its own flush and for no standby; sessions that must hang set it themselves.
    await client.query(/* sql */ `alter system set synchronous_commit = local`);
  });
  await setStandbys('absent');
});
afterAll(() => source[Symbol.asyncDispose]());

async function setStandbys(names: string): Promise<void> {
  await source.query('postgres', async (client) => {
    await client.query(/* sql */ `alter system set synchronous_standby_names = '${names}'`);
    await client.query(/* sql */ `select pg_reload_conf()`);
  });
  await until('the setting', () =>
    source.query('postgres', async (client) => {
      const { rows } = await client.query<{ names: string }>(
        /* sql */ `select current_setting('synchronous_standby_names') as names`,
      );
      return rows[0]?.names === names;
    }),
  );
}

/** A transaction that is in the WAL and not yet visible. */
interface Hanging extends AsyncDisposable {
  /** Simulates the standby's answer: the commit returns. */
  release(): Promise<void>;
}

async function hanging(db: FreshPair, sql: string): Promise<Hanging> {
  const client = await connectTo(db.source);
  await client.query(/* sql */ `set synchronous_commit = on`);
  const { rows } = await client.query<{ pid: number }>(/* sql */ `select pg_backend_pid() as pid`);
  const pid = rows[0]?.pid;
  const committed = client.query(sql);
  committed.catch(() => undefined);
  await until('the commit to wait for its standby', async () => {
    const waiting = await db.sourceClient.query(
      /* sql */ `select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`,
      [pid],
    );
    return waiting.rowCount === 1;
  });
  const release = async (): Promise<void> => {
    await db.sourceClient.query(/* sql */ `select pg_cancel_backend($1)`, [pid]);
    await committed;
  };
  return {
    release,
    [Symbol.asyncDispose]: async () => {
      await release();
      await client[Symbol.asyncDispose]();
    },
  };
}

/** Everything before the call has reached the stream, which then had two more seconds to store it. */
async function received(db: FreshPair, work: TestWork): Promise<Lsn> {
  const { rows } = await db.sourceClient.query<{ lsn: Lsn }>(
    /* sql */ `select pg_logical_emit_message(true, 'walferry', 'mark')::text as lsn`,
  );
  const mark = rows[0]?.lsn;
  if (!mark) throw new Error('no mark');
  await until('the stream to receive what there is', () => {
    const last = work.beats.at(-1)?.['receivedLsn'];
    return isLsn(last) && compareLsn(last, mark) >= 0;
  });
  const beats = work.beats.length;
  await until('two more beats', () => work.beats.length >= beats + 2);
  return mark;
}

test('a transaction that the source does not show yet is neither applied on the target nor confirmed', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await using first = await hanging(db, /* sql */ `insert into t values (1, 'hangs')`);
  const before = await storedLsn(db, migration);
  const work = testWork();
  const lease = streamChanges(migration, OPTIONS, work);
  lease.catch(() => undefined);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'is visible')`);
  await received(db, work);
  expect(await storedLsn(db, migration)).toBe(before);
  expect((await db.targetClient.query(/* sql */ `select from t`)).rowCount).toBe(0);
  await until('the warning', () =>
    work.warnings.some((text) => text.includes('is not visible there yet')),
  );
  await first.release();
  await until('both rows', async () => {
    return (await db.targetClient.query(/* sql */ `select from t`)).rowCount === 2;
  });
  work.abort();
  await lease;
  await expectSame(db);
});

test('a resynced table lacks nothing that the stream has confirmed while only the source had it', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  const made = /* sql */ `create table public.made (id int primary key, v text)`;
  await db.targetClient.query(made);
  const work = testWork();
  const lease = observed(streamChanges(migration, OPTIONS, work));
  // The table is invisible when its first change arrives: the stream takes it for one that was dropped.
  await using first = await hanging(
    db,
    `begin; ${made}; insert into public.made values (1, 'x'); commit`,
  );
  await received(db, work);
  await first.release();
  await using second = await hanging(db, /* sql */ `insert into public.made values (2, 'x')`);
  const { rows } = await db.sourceClient.query<{ lsn: Lsn }>(
    /* sql */ `select pg_current_wal_flush_lsn()::text as lsn`,
  );
  // The check before the commit meets the table as soon as it is visible: the lease ends there, and nothing of the table is confirmed.
  await expect(lease).rejects.toThrow('to be resynced: public.made is new in the selection');
  expect(compareLsn(await storedLsn(db, migration), rows[0]?.lsn ?? parseLsn('0/0'))).toBeLessThan(
    0,
  );
  expect((await slotState(db, migration)).active).toBeNull();
  // Copied under a snapshot that does not see the second row.
  await resync(db, migration);
  await second.release();
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('when source and stream wait for each other, because the stream counts as a synchronous standby, this is reported and does not hang', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await setStandbys('*');
  await using _names = { [Symbol.asyncDispose]: () => setStandbys('absent') };
  const work = testWork();
  const lease = observed(streamChanges(migration, OPTIONS, work));
  await untilStreaming(db, migration);
  await using first = await hanging(db, /* sql */ `insert into t values (1, 'waits for us')`);
  await expect(lease).rejects.toMatchObject({ code: 'StandbyLoop' });
  expect((await slotState(db, migration)).active).toBeNull();
  expect((await db.targetClient.query(/* sql */ `select from t`)).rowCount).toBe(0);
  // As the message advises; the next lease applies what was held up.
  await setStandbys('absent');
  await first.release();
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('killed between the barrier of an anchor and what the anchor left out, the next attempt applies exactly the rest', async () => {
  await using db = await freshPair({ source });
  // Without a key, a change that is applied twice is a second row.
  const migration = await startMigration(
    db,
    /* sql */ `create table log (v int); alter table log replica identity full`,
  );
  const write = (v: number) => db.sourceClient.query(/* sql */ `insert into log values ($1)`, [v]);
  await write(1);
  await drain(db, migration);
  const child = streamProcess(migration, { WALFERRY_FAILPOINT: 'after-barrier-commit' });
  await using owner = await ManualOwner.ask(db, migration);
  await owner.untilState('standing');
  const stood = await storedLsn(db, migration);
  // Earlier in the WAL than what the snapshot shows.
  await using left = await hanging(db, /* sql */ `insert into log values (2)`);
  await write(3);
  await owner.take();
  await child.ended;
  expect(child.process.signalCode).toBe('SIGKILL');
  const rows = async () =>
    (await db.targetClient.query<{ v: number }>(/* sql */ `select v from log order by v`)).rows.map(
      ({ v }) => v,
    );
  expect(await rows()).toEqual([1, 3]);
  expect(await storedLsn(db, migration)).toBe(stood);
  expect(await barrierRow(db.targetClient)).toMatchObject({ anchor: owner.id });
  await left.release();
  await write(4);
  await drain(db, migration);
  expect(await rows()).toEqual([1, 2, 3, 4]);
  expect(await barrierRow(db.targetClient)).toBeUndefined();
  await expectSame(db);
});

test('at an anchor the target shows what its snapshot of the source shows, also when an earlier commit waits for its standby', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await drain(db, migration);
  const work = testWork();
  const lease = streamChanges(migration, OPTIONS, work);
  await untilStreaming(db, migration);
  const owner = await ManualOwner.ask(db, migration);
  await owner.untilState('standing');
  await using left = await hanging(db, /* sql */ `insert into t values (1, 'hangs')`);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 'is visible')`);
  await owner.take();
  await owner.untilState('reached');
  expect((await db.targetClient.query(/* sql */ `select id from t`)).rows).toEqual([{ id: 2 }]);
  await owner[Symbol.asyncDispose]();
  await received(db, work);
  // While the commit hangs, nothing after it can be applied: the next anchor is refused, and says why.
  const refused = withAnchor(migration, testWork(), () => Promise.resolve(), { standMs: 4_000 });
  await expect(refused).rejects.toMatchObject({
    code: 'AnchorRefused',
    message: expect.stringContaining('synchronous standby') as string,
  });
  await left.release();
  await withAnchor(migration, testWork(), async ({ sourceSnapshot, targetSnapshot }) => {
    const ids = /* sql */ `select id from t order by id`;
    const here = await readAt(db.source, sourceSnapshot, ids);
    expect(await readAt(db.target, targetSnapshot, ids)).toEqual(here);
    expect(here).toHaveLength(2);
  });
  work.abort();
  await lease;
  await drain(db, migration);
  await expectSame(db);
});

test('an anchor is given up when more than a batch follows a commit that its snapshot does not show, and the stream goes on', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await drain(db, migration);
  const work = testWork();
  const lease = streamChanges(migration, { ...OPTIONS, batchChanges: 50 }, work);
  await untilStreaming(db, migration);
  await using owner = await ManualOwner.ask(db, migration);
  await owner.untilState('standing');
  await using left = await hanging(db, /* sql */ `insert into t values (1, 'hangs')`);
  await db.sourceClient.query(
    /* sql */ `insert into t select i, 'many' from generate_series(2, 200) i`,
  );
  await owner.take();
  await owner.untilState('given up');
  expect(await owner.reason()).toContain('more than one batch');
  expect((await db.targetClient.query(/* sql */ `select from t`)).rowCount).toBe(0);
  await left.release();
  await until('the rows', async () => {
    return (await db.targetClient.query(/* sql */ `select from t`)).rowCount === 200;
  });
  work.abort();
  await lease;
  await expectSame(db);
});

test('a lease begins while the standby is away, also when a schema or a table was altered', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, `create schema app; create table app.t (id int)`);
  for (const ddl of [`grant usage on schema app to pg_monitor`, `alter table app.t add v text`]) {
    await db.sourceClient.query(ddl);
    await db.targetClient.query(ddl);
    await db.sourceClient.query(/* sql */ `insert into app.t values (1)`);
    await drainWithCopies(db, migration);
  }
  await expectSame(db);
});

test('a row is not lost when an anchor shows it and not the renaming of its schema before it, which is undone later', async () => {
  for (const include of ['app.*', '*.*']) {
    await using db = await freshPair({ source });
    const selection = { include: [include], exclude: [] };
    const migration = await startMigration(
      db,
      /* sql */ `create schema app; create table app.t (id int primary key, v text)`,
      selection,
    );
    await drain(db, migration, selection);
    const work = testWork();
    const lease = streamChanges(migration, { ...OPTIONS, ...selection }, work);
    await untilStreaming(db, migration);
    const owner = await ManualOwner.ask(db, migration);
    await owner.untilState('standing');
    await using renamed = await hanging(db, /* sql */ `alter schema app rename to away`);
    // Its change has the new name already; the snapshot shows the change and not the name.
    await db.sourceClient.query(/* sql */ `insert into app.t values (1, 'is visible')`);
    await owner.take();
    await owner.untilState('reached');
    await owner[Symbol.asyncDispose]();
    work.abort();
    await lease;
    expect(await barrierRow(db.targetClient)).toMatchObject({ anchor: owner.id });
    await renamed.release();
    await db.sourceClient.query(/* sql */ `alter schema away rename to app`);
    const copied = await drainWithCopies(db, migration, selection);
    await expectSame(db);
    expect(copied).toContain('app.t');
    expect(await drainWithCopies(db, migration, selection)).toEqual([]);
  }
});
