/** What stops the applier, what it reports, and what it never does. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import { FAILURES } from '../../../contract/failure-catalogue.ts';
import type { FailureCode } from '../../../contract/failure-catalogue.ts';
import { parseLsn } from '../../../contract/lsn.ts';
import { takeEpoch } from '../../../postgres/store/epoch.ts';
import { addService, connectTo, targetServer } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { until } from '../../support/until.ts';
import { Feed } from './apply-feed.ts';

const SECRET = 'secret-value-4711';

const ACCOUNTS = /* sql */ `
  create table public.account (id int primary key, name text not null, pin text unique);
  insert into public.account select n, 'name ' || n, 'pin ' || n from generate_series(1, 200) n;`;

/** What a commit stores in these tests; there is no stream. */
const PROGRESS = {
  confirmedLsn: parseLsn('1/0'),
  transactions: 1,
  changes: 1,
  consistent: true,
};

async function failure(work: Promise<unknown>): Promise<MigrationError> {
  const error: unknown = await work.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MigrationError)) throw error;
  expect(Object.keys(FAILURES)).toContain(error.code);
  return error;
}

async function count(feed: Feed, where: string): Promise<number> {
  const { rows } = await feed.target.query<{ n: number }>(
    /* sql */ `select count(*)::int as n from public.account where ${where}`,
  );
  return rows[0]?.n ?? -1;
}

interface Stopped {
  table_name: string;
  action: string;
  key_columns: unknown;
  code: string;
  sqlstate: string | null;
}

async function stopped(feed: Feed): Promise<Stopped[]> {
  const { rows } = await feed.target.query<Stopped>(
    /* sql */ `select table_name, action, key_columns, code, sqlstate from walferry.stopped_change`,
  );
  return rows;
}

// Small batches are applied change by change, large ones as sets: both must stop in the same way.
test.each([
  ['change by change', 'id = 7'],
  ['as sets', 'id > 5'],
])(
  'an update that hits no row stops with the table and the LSN, never the value (%s)',
  async (_, where) => {
    await using feed = await Feed.start(ACCOUNTS);
    await feed.target.query(/* sql */ `delete from public.account where id = 7`);
    await feed.source.query(`update public.account set name = '${SECRET}' where ${where}`);
    const error = await failure(feed.apply());
    expect(error.code).toBe('RowMissing' satisfies FailureCode);
    expect(error.message).toMatch(/update of public\.account at [0-9A-F]+\/[0-9A-F]+ hit no row/);
    expect(error.message).toContain('walferry.stopped_change');
    expect(error.details).toMatchObject({ table: 'public.account' });
    expect(JSON.stringify([error.message, error.details])).not.toContain(SECRET);
    // Nothing of the batch is applied, only the control schema has the key, and the LSN did not move.
    expect(await count(feed, `name = '${SECRET}'`)).toBe(0);
    expect(await stopped(feed)).toEqual([
      {
        table_name: 'account',
        action: 'update',
        key_columns: { id: '7' },
        code: 'RowMissing',
        sqlstate: null,
      },
    ]);
  },
);

test('a value that another row has stops the apply with SQLSTATE and constraint, after the replay has named the change', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.target.query(
    /* sql */ `insert into public.account values (9999, 'foreign', '${SECRET}')`,
  );
  await feed.source.query(/* sql */ `
    insert into public.account select n, 'new ' || n, 'new ' || n from generate_series(1001, 1100) n;
    update public.account set pin = '${SECRET}' where id = 50;`);
  const error = await failure(feed.apply());
  expect(error.code).toBe('ChangeFailed');
  expect(error.details).toMatchObject({ sqlstate: '23505', constraint: 'account_pin_key' });
  expect(JSON.stringify([error.message, error.details])).not.toContain(SECRET);
  expect((await stopped(feed)).map(({ key_columns }) => key_columns)).toEqual([{ id: '50' }]);
  expect(await count(feed, 'id > 1000')).toBe(1);
});

test('a value that does not fit is refused, not truncated', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.target.query(/* sql */ `alter table public.account alter name type varchar(10)`);
  for (const rows of [1, 100]) {
    await feed.source.query(/* sql */ `
      insert into public.account select 10000 * ${rows} + n, repeat('x', 11), null from generate_series(1, ${rows}) n`);
    const error = await failure(feed.apply());
    expect(error).toMatchObject({ code: 'ChangeFailed', details: { sqlstate: '22001' } });
  }
  expect(await count(feed, 'id > 1000')).toBe(0);
});

test('a text key that is too long for the target matches no other row', async () => {
  await using feed = await Feed.start(
    /* sql */ `create table public.account (id varchar(20) primary key, name text)`,
  );
  await feed.target.query(/* sql */ `
    alter table public.account alter id type varchar(2);
    insert into public.account values ('ab', 'kept')`);
  await feed.source.query(/* sql */ `insert into public.account values ('abc', 'x')`);
  await feed.changes();
  await feed.source.query(/* sql */ `delete from public.account`);
  expect(await failure(feed.apply())).toMatchObject({ code: 'RowMissing' });
  expect(await count(feed, 'true')).toBe(1);
});

test('a missing table and a missing column are reported by name', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.source.query(
    /* sql */ `create table public.later (id int primary key); insert into public.later values (1)`,
  );
  expect(await failure(feed.apply())).toMatchObject({
    code: 'UnknownRelation',
    details: { table: 'public.later' },
  });
  await feed.source.query(
    /* sql */ `alter table public.account add column extra text; update public.account set extra = 'x' where id = 1`,
  );
  expect(await failure(feed.apply())).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.account', column: 'extra' },
  });
});

test('an attempt with an outdated epoch writes nothing: no rows, no LSN, no note', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.source.query(/* sql */ `update public.account set name = 'changed'`);
  const changes = await feed.changes();
  await using old = await feed.open();
  const { epoch } = await takeEpoch(old.client, feed.migration);
  // The next attempt takes over. Its session would also end the old backend, which stays alive here to show that fencing
  // does not depend on that.
  await feed.target.query(
    /* sql */ `update walferry.migration set epoch = epoch + 1, attempt_pid = null`,
  );
  const error = await failure(
    (async () => {
      await old.begin(epoch);
      await old.apply(changes);
      await old.commit(PROGRESS);
    })(),
  );
  expect(error.code).toBe('Fenced');
  expect(await count(feed, `name = 'changed'`)).toBe(0);
  const { rows } = await feed.target.query(
    /* sql */ `select confirmed_lsn from walferry.migration`,
  );
  expect(rows).toEqual([{ confirmed_lsn: null }]);
});

test('the next attempt ends a transaction that the old one left open, and its rows are rolled back', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.source.query(/* sql */ `update public.account set name = 'changed'`);
  const changes = await feed.changes();
  await using old = await feed.open();
  const { epoch } = await takeEpoch(old.client, feed.migration);
  await old.begin(epoch);
  await old.apply(changes);
  await using next = await feed.open();
  const taken = await takeEpoch(next.client, feed.migration);
  expect(taken.epoch).toBe(epoch + 1n);
  expect(await failure(old.commit(PROGRESS))).toMatchObject({ code: 'Unreachable' });
  expect(await count(feed, `name = 'changed'`)).toBe(0);
  await feed.applyWith(next, changes);
  await expectEqual(feed.source, feed.target);
});

test('after a lost answer to COMMIT, the LSN that the next attempt reads shows that the commit happened', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.source.query(/* sql */ `update public.account set name = 'changed'`);
  const changes = await feed.changes();
  await using old = await feed.open();
  const { epoch } = await takeEpoch(old.client, feed.migration);
  await old.begin(epoch);
  await old.apply(changes);
  const query = old.client.query.bind(old.client);
  // The server commits, then the connection breaks before the answer is read.
  Object.assign(old.client, {
    query: (sent: pg.Submittable & { handleError?: (error: Error) => void }) => {
      const broken = new Error('Connection terminated unexpectedly');
      return query(Object.assign(sent, { handleReadyForQuery: () => sent.handleError?.(broken) }));
    },
  });
  const confirmedLsn = parseLsn('1/0');
  const lost = await failure(
    old.commit({ confirmedLsn, transactions: 3, changes: 200, consistent: true }),
  );
  expect(lost.code).toBe('Unreachable');
  await using next = await feed.open();
  const attempt = await takeEpoch(next.client, feed.migration);
  expect(attempt).toMatchObject({ confirmedLsn, transactions: 3, changes: 200 });
  await expectEqual(feed.source, feed.target);
});

test('a deadlock rolls everything back and asks for a retry, which succeeds', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.source.query(
    /* sql */ `update public.account set name = 'changed' where id in (1, 2)`,
  );
  const changes = await feed.changes();
  await using applier = await feed.open();
  await using other = await connectTo(feed.pair.target);
  await other.query(
    /* sql */ `begin; set local deadlock_timeout = '10s'; select from public.account where id = 2 for update`,
  );
  const applied = failure(feed.applyWith(applier, changes));
  await until('the applier to wait for the row', async () => {
    const { rows } = await feed.target
      .query(/* sql */ `select from pg_stat_activity where application_name = 'walferry apply' and wait_event_type = 'Lock'
                    and datname = current_database()`);
    return rows.length > 0;
  });
  const blocked = other.query(/* sql */ `update public.account set name = 'other' where id = 1`);
  expect((await applied).code).toBe('Contention');
  await blocked;
  await other.query(/* sql */ `rollback`);
  expect(await stopped(feed)).toEqual([]);
  await feed.applyWith(applier, changes);
  await expectEqual(feed.source, feed.target);
});

test('a role without replica role says so, defers constraints and still applies', async () => {
  await using feed = await Feed.start(/* sql */ `
    create table public.node (id int primary key, up int references public.node deferrable, tag int unique deferrable);
    insert into public.node select n, null, n from generate_series(1, 100) n;`);
  const role = `plain_${feed.pair.target}`;
  await feed.target.query(/* sql */ `
    create role ${role} login password 'plain';
    grant usage on schema walferry, public to ${role};
    grant all on all tables in schema walferry, public to ${role};`);
  addService(role, {
    host: '127.0.0.1',
    port: String(targetServer().port),
    dbname: feed.pair.target,
    user: role,
    password: 'plain',
  });
  try {
    await feed.source.query(/* sql */ `
      begin; set constraints all deferred;
      insert into public.node select n, n + 1, n from generate_series(201, 299) n; insert into public.node values (300, 1, 300);
      update public.node set tag = 101 - tag where id <= 100;
      commit;`);
    const changes = await feed.changes();
    const { TargetApplier } = await import('../../../postgres/apply/applier.ts');
    await using applier = await TargetApplier.open(
      { ...feed.migration, target: role },
      { numericAsText: true },
    );
    expect(applier.replicaRole).toBe(false);
    await feed.applyWith(applier, changes);
    await expectEqual(feed.source, feed.target);
  } finally {
    await feed.target.query(/* sql */ `drop owned by ${role}; drop role ${role}`);
  }
});

test('after a failure the same session continues once the cause is fixed', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.target.query(/* sql */ `delete from public.account where id = 7`);
  await feed.source.query(/* sql */ `update public.account set name = 'changed'`);
  const changes = await feed.changes();
  await using applier = await feed.open();
  await failure(feed.applyWith(applier, changes));
  await feed.target.query(/* sql */ `insert into public.account values (7, 'put back', 'pin 7')`);
  await feed.applyWith(applier, changes);
  await expectEqual(feed.source, feed.target);
});

test('a huge transaction is applied in pieces: staging tables survive pieces, refusals and rollbacks', async () => {
  await using feed = await Feed.start(ACCOUNTS);
  await feed.source.query(/* sql */ `
    begin;
    update public.account set name = 'one';
    update public.account set pin = 'free' where id = 1;
    update public.account set pin = 'pin 1' where id = 2;
    update public.account set pin = 'pin 2' where id = 1;
    update public.account set name = 'two';
    delete from public.account where id > 100;
    update public.account set name = 'three';
    commit;`);
  const changes = await feed.changes();
  await using applier = await feed.open();
  const { epoch } = await takeEpoch(applier.client, feed.migration);
  for (const last of [false, true]) {
    await applier.begin(epoch);
    for (let from = 0; from < changes.length; from += 203) {
      await applier.apply(changes.slice(from, from + 203));
    }
    if (!last) await applier.rollback();
  }
  expect(applier.refusals).toBeGreaterThan(0);
  // Nothing is visible before the commit.
  expect(await count(feed, `name = 'three'`)).toBe(0);
  await applier.commit(PROGRESS);
  await expectEqual(feed.source, feed.target);
});
