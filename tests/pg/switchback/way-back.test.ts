/** The way back: it starts exactly at the release, survives what the stream survives, and never touches the application. */
import { expect, test } from 'vitest';
import { compareLsn, parseLsn } from '../../../contract/lsn.ts';
import type { MigrationInput } from '../../../contract/input-schema.ts';
import type { Migration } from '../../../contract/migration.ts';
import { isReverse, reverseOf } from '../../../contract/reversed.ts';
import { connectSide, connectTarget } from '../../../postgres/session/open.ts';
import { readRegistered } from '../../../postgres/store/registered.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';
import { registerMigration } from '../../../postgres/store/migration.ts';
import { readIdentity } from '../../../postgres/identity/identity.ts';
import { storeConsistentPoint } from '../../../postgres/store/consistent-point.ts';
import { readStart } from '../../../postgres/store/way-back.ts';
import { closeWayBack, dropReverseSlot } from '../../../postgres/switchback/reverse-end.ts';
import { planReverse } from '../../../postgres/switchback/reverse-plan.ts';
import { advanceReverseSlot, openWayBack } from '../../../postgres/switchback/reverse-slot.ts';
import { startReverse } from '../../../postgres/switchback/reverse-start.ts';
import { streamReverse } from '../../../postgres/switchback/reverse-stream.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import {
  drainBack,
  expectAlike,
  NOT_SELECTED,
  release,
  reverseRound,
  reverseSlot,
} from '../../support/reverse-round.ts';
import { drain, OPTIONS, startMigration, testWork } from '../../support/stream.ts';
import { failure } from '../schema/schema-fidelity.ts';

const SELECTION: MigrationInput['tables'] = {
  include: ['*.*'],
  exclude: NOT_SELECTED,
  viaPartitionRoot: [],
};
const LEASE = { ...OPTIONS, exclude: NOT_SELECTED };
const OPENED = /* sql */ `create table opened (open bool primary key);`;

/** A migration whose release was committed, with a way back. */
async function released(
  db: FreshPair,
  ddl: string,
  onTarget = ddl,
  tables = SELECTION,
): Promise<Migration> {
  const migration = await startMigration(db, OPENED + ddl, tables, OPENED + onTarget);
  await openWayBack(migration, testWork());
  await drain(db, migration, tables);
  await planReverse(migration, { tables }, testWork());
  await startReverse(migration, await release(db, migration), testWork());
  return migration;
}

const ROUNDS = 4;

test(`in ${ROUNDS} rounds with writers that start within the moment of the release, exactly the application's rows arrive on the old database`, async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    expect((await reverseRound()).commits).toBeGreaterThan(0);
  }
});

test('the slot is created once, advanced only to a position that an earlier call returned, and gone at the end', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
  const slot = await openWayBack(migration, testWork());
  expect(slot.slot).toBe(reverseOf(migration).slot);
  const first = await advanceReverseSlot(migration, null, testWork());
  expect((await reverseSlot(db, migration))?.confirmed).toBe(slot.consistentLsn);
  await db.sourceClient.query(/* sql */ `insert into t select generate_series(1, 1000)`);
  await drain(db, migration);
  const second = await advanceReverseSlot(migration, first, testWork());
  expect(compareLsn(second, first)).toBeGreaterThan(0);
  expect((await reverseSlot(db, migration))?.confirmed).toBe(first);
  // A retry of the first call changes nothing, and neither does opening it again.
  await advanceReverseSlot(migration, null, testWork());
  await openWayBack(migration, testWork());
  expect((await reverseSlot(db, migration))?.confirmed).toBe(first);
  expect(await dropReverseSlot(migration)).toBe('dropped');
  expect(await dropReverseSlot(migration)).toBe('absent');
  await failure(advanceReverseSlot(migration, second, testWork()), 'SlotMissing');
  await closeWayBack(migration, testWork());
  await closeWayBack(migration, testWork());
  const { rows } = await db.sourceClient.query(
    /* sql */ `select nspname from pg_namespace where nspname = 'walferry'`,
  );
  expect(rows).toEqual([]);
});

test('an open transaction in another database of the new server blocks the slot until the timeout, and is named', async () => {
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
  await using open = await connectTo(other.target);
  await open.query(/* sql */ `begin; create table w (i int)`);
  const { rows } = await open.query<{ pid: number }>(`select pg_backend_pid() as pid`);
  const refused = await failure(
    openWayBack(migration, testWork(), { lockTimeoutMs: 500 }),
    'SlotBlocked',
  );
  // Transactions of other tests on this server hold it up, too.
  expect(refused.details.pids).toContain(rows[0]?.pid);
  expect(refused.message).toContain(`way back from "${db.target}" to "${db.source}"`);
  await open.query('rollback');
  await openWayBack(migration, testWork());
  await dropReverseSlot(migration);
});

test.each(['was registered and has no slot yet', 'was never begun, in a schema that is there'])(
  'a way back that %s is removed without a word, also a second time',
  async (how) => {
    await using db = await freshPair();
    await using blocker = await connectTo(db.target);
    const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
    await blocker.query(/* sql */ `begin; create table w (i int)`);
    if (how.includes('never')) await createStore(db.sourceClient, db.source);
    else await failure(openWayBack(migration, testWork(), { lockTimeoutMs: 500 }), 'SlotBlocked');
    // As a worker schedules it: such a step takes over from earlier attempts.
    const work = { ...testWork(), scheduledAt: 1_000 };
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await dropReverseSlot(migration);
      await closeWayBack(migration, work);
    }
    const { rows } = await db.sourceClient.query(
      /* sql */ `select from pg_namespace where nspname = 'walferry'`,
    );
    expect(rows).toEqual([]);
    await blocker.query('rollback');
  },
);

test('the start is final: a second one is the same, another position and a late slot creation are refused, and the plan stays', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
  const reverse = reverseOf(migration);
  await openWayBack(migration, testWork());
  await drain(db, migration);
  await planReverse(migration, { tables: SELECTION }, testWork());
  // A cutover that was undone: planned again.
  await planReverse(migration, { tables: SELECTION }, testWork());
  const at = await release(db, migration);
  await startReverse(migration, at, testWork());
  await startReverse(migration, at, testWork());
  expect(await readStart(db.sourceClient, reverse)).toBe(at);
  expect((await reverseSlot(db, migration))?.confirmed).toBe(at);
  const later = await release(db, migration, 'select 1');
  await failure(startReverse(migration, later, testWork()), 'Internal');
  await failure(planReverse(migration, { tables: SELECTION }, testWork()), 'Fenced');
  expect(await storeConsistentPoint(db.sourceClient, reverse, parseLsn('0/1'), 1n << 62n)).toBe(
    false,
  );
  await dropReverseSlot(migration);
});

test('a slot that another session advanced past the release is refused, and nothing is streamed', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
  await openWayBack(migration, testWork());
  await drain(db, migration);
  await planReverse(migration, { tables: SELECTION }, testWork());
  const at = await release(db, migration);
  await db.targetClient.query(/* sql */ `insert into t values (1)`);
  await db.targetClient.query(
    /* sql */ `select pg_replication_slot_advance($1, pg_current_wal_lsn())`,
    [reverseOf(migration).slot],
  );
  await failure(startReverse(migration, at, testWork()), 'CheckpointMissing');
  await failure(streamReverse(migration, LEASE, testWork()), 'CheckpointMissing');
  await dropReverseSlot(migration);
});

test('each direction opens sessions on its own servers: a way back with swapped services is refused', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
  await openWayBack(migration, testWork());
  const reverse = reverseOf(migration);
  await using old = await connectTarget(reverse, 'watch');
  expect(old.database).toBe(db.source);
  const swapped = { ...reverse, source: reverse.target, target: reverse.source };
  await failure(connectSide('target', swapped, 'watch'), 'WrongServer');
  await failure(connectSide('source', { ...reverse, source: db.source }, 'watch'), 'WrongServer');
  await dropReverseSlot(migration);
});

test('a migration that crosses this one finds no row of its way back, and ends without it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, `${OPENED} create table t (id int primary key)`);
  await openWayBack(migration, testWork());
  const reverse = reverseOf(migration);
  expect(isReverse(reverse.id)).toBe(true);
  expect(await readRegistered(db.sourceClient)).toEqual([]);
  // From the new database to the old one, of other tables.
  const crossing = { ...reverse, id: 'crossing', slot: 'walferry_crossing' };
  await createStore(db.sourceClient, db.source);
  await registerMigration(db.sourceClient, {
    migration: crossing,
    source: await readIdentity(db.targetClient, db.target),
    sourceDatabase: db.target,
    tablesCreated: true,
    archive: null,
  });
  expect((await readRegistered(db.sourceClient)).map(({ id }) => id)).toEqual(['crossing']);
  await closeWayBack(migration, testWork());
  expect((await readRegistered(db.sourceClient)).map(({ id }) => id)).toEqual(['crossing']);
  await dropReverseSlot(migration);
});

test('every kind of change goes back: keyless rows, generated and identity columns, TRUNCATE, foreign keys in any order', async () => {
  await using db = await freshPair();
  const migration = await released(
    db,
    /* sql */ `
    create table parent (id int primary key);
    create table child (id int generated always as identity primary key, parent int references parent on delete cascade,
      twice int generated always as (parent * 2) stored, w bytea, big text);
    create table keyless (a int, b text); alter table keyless replica identity full;
    create table emptied (id int primary key); insert into emptied values (1);
    create table noted (id int);
    create function note() returns trigger language plpgsql as 'begin insert into noted values (new.id); return new; end';
    create trigger note after insert on parent for each row execute function note();`,
    /* sql */ `
    create table parent (id int primary key);
    create table child (id int generated always as identity primary key, parent int references parent on delete cascade,
      twice int generated always as (parent * 2) stored, w bytea, big text);
    create table keyless (a int, b text); alter table keyless replica identity full;
    create table emptied (id int primary key);
    create table noted (id int);
    create function note() returns trigger language plpgsql as 'begin insert into noted values (new.id); return new; end';
    create trigger note after insert on parent for each row execute function note();`,
  );
  await db.targetClient.query(/* sql */ `
    insert into parent values (1), (2); insert into child (parent, w, big) values (1, '\\x00ff', repeat('x', 10000)), (2, null, 'y');
    update child set w = '\\x01' where parent = 1;
    delete from parent where id = 2;
    insert into keyless values (1, 'a'), (1, 'a'), (2, null); update keyless set b = 'b' where a = 2`);
  await db.targetClient.query(/* sql */ `truncate emptied; insert into emptied values (7)`);
  // Sequences are not in the stream: a switch sets them.
  await db.sourceClient.query(/* sql */ `select setval('child_id_seq', 2)`);
  await drainBack(db, migration);
  await expectAlike(db);
  await dropReverseSlot(migration);
});

test('a tree that is one table on the new database goes back through the root of the old one', async () => {
  await using db = await freshPair();
  const tables = { ...SELECTION, viaPartitionRoot: ['public.m'] };
  const migration = await released(
    db,
    /* sql */ `create table m (id int, k int, v text, primary key (id, k)) partition by list (k);
      create table m_0 partition of m for values in (0); create table m_1 partition of m for values in (1);
      insert into m values (1, 0, 'a'), (2, 1, 'b')`,
    /* sql */ `create table m (id int, k int, v text, primary key (id, k))`,
    tables,
  );
  await db.targetClient.query(/* sql */ `
    insert into m values (3, 0, 'c'); update m set v = 'changed' where id = 1; update m set k = 0 where id = 2`);
  await drainBack(db, migration, { ...tables });
  const rows = (sql: string) => async (client: FreshPair['sourceClient']) =>
    (await client.query<{ row: string }>(sql)).rows.map(({ row }) => row);
  const read = rows(/* sql */ `select m::text as row from m order by id`);
  expect(await read(db.sourceClient)).toEqual(await read(db.targetClient));
  const inside = rows(/* sql */ `select id::text as row from m_0 order by id`);
  expect(await inside(db.sourceClient)).toEqual(['1', '2', '3']);
  await db.targetClient.query(/* sql */ `truncate m`);
  await drainBack(db, migration, { ...tables });
  expect(await read(db.sourceClient)).toEqual([]);
  await dropReverseSlot(migration);
});

test('tables that were not moved, or are unlogged on one side, are left out by name and do not stop the way back', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    `${OPENED} create table t (id int primary key)`,
    SELECTION,
    `${OPENED} create table t (id int primary key); create table only_new (id int primary key)`,
  );
  await openWayBack(migration, testWork());
  await drain(db, migration, SELECTION);
  const plan = await planReverse(migration, { tables: SELECTION }, testWork());
  expect(plan).toEqual({
    tables: 1,
    notReturned: ['public.only_new is not on the old database'],
  });
  await startReverse(migration, await release(db, migration), testWork());
  await db.targetClient.query(
    /* sql */ `insert into only_new values (1); insert into t values (1)`,
  );
  await drainBack(db, migration);
  const { rows } = await db.sourceClient.query(/* sql */ `select id from t`);
  expect(rows).toEqual([{ id: 1 }]);
  await dropReverseSlot(migration);
});

test('a column that both databases get is followed; one that only the new one gets stops the way back, names it, and continues once the old one has it', async () => {
  await using db = await freshPair();
  const migration = await released(db, /* sql */ `create table t (id int primary key)`);
  const add = /* sql */ `alter table t add column v text`;
  await db.targetClient.query(add);
  await db.targetClient.query(/* sql */ `insert into t values (1, 'x')`);
  const stopped = await failure(drainBack(db, migration), 'SchemaDrift');
  expect(stopped.message).toContain('public.t.v is missing on the old database');
  expect(stopped.message).toMatch(/^way back from /);
  await db.sourceClient.query(add);
  await drainBack(db, migration);
  await expectAlike(db);
  await dropReverseSlot(migration);
});

test('a table that only the new database gets stops the way back and is named; without it the way back goes on', async () => {
  await using db = await freshPair();
  const migration = await released(db, /* sql */ `create table t (id int primary key)`);
  await db.targetClient.query(/* sql */ `insert into t values (1)`);
  await drainBack(db, migration);
  await db.targetClient.query(/* sql */ `create table public.fresh (id int primary key)`);
  await db.targetClient.query(
    /* sql */ `insert into public.fresh values (1); insert into t values (2)`,
  );
  const stopped = await failure(drainBack(db, migration), 'UnknownRelation');
  expect(stopped.message).toContain('public.fresh');
  await db.targetClient.query(/* sql */ `insert into t values (3); drop table public.fresh`);
  await drainBack(db, migration);
  await expectAlike(db);
  await dropReverseSlot(migration);
});

test('what only a copy could repair ends the way back for good, and the application continues', async () => {
  await using db = await freshPair();
  const migration = await released(db, /* sql */ `create table t (id int primary key, v int)`);
  await db.targetClient.query(/* sql */ `insert into t values (1, 1)`);
  await drainBack(db, migration);
  await db.targetClient.query(/* sql */ `alter table t set unlogged; alter table t set logged`);
  await db.targetClient.query(/* sql */ `insert into t values (2, 2)`);
  const lost = await failure(drainBack(db, migration), 'WayBackLost');
  expect(lost.message).toContain('public.t has a different file');
  // Not forgotten by the next lease.
  await failure(drainBack(db, migration), 'WayBackLost');
  await db.targetClient.query(/* sql */ `insert into t values (3, 3)`);
  await dropReverseSlot(migration);
  await closeWayBack(migration, testWork());
});

test('a value that the old database refuses stops the way back at that change, and continues once it is accepted', async () => {
  await using db = await freshPair();
  const migration = await released(
    db,
    /* sql */ `create table t (id int primary key, v int, constraint small check (v < 10))`,
    /* sql */ `create table t (id int primary key, v int)`,
  );
  await db.targetClient.query(/* sql */ `insert into t values (1, 1)`);
  await db.targetClient.query(/* sql */ `insert into t values (2, 20)`);
  const stopped = await failure(drainBack(db, migration), 'ChangeFailed');
  expect(stopped.details).toMatchObject({ table: 'public.t', sqlstate: '23514' });
  expect(stopped.message).not.toContain('20)');
  await db.sourceClient.query(/* sql */ `alter table t drop constraint small`);
  await drainBack(db, migration);
  await expectAlike(db);
  await dropReverseSlot(migration);
});

test('triggers of the old database that fire in replica role are off while the way back streams, and get their state back at its end', async () => {
  await using db = await freshPair();
  const noting = /* sql */ `
    create table t (id int primary key); create table noted (id int); alter table noted replica identity full;
    create function note() returns trigger language plpgsql as 'begin insert into noted values (new.id); return new; end';
    create trigger note after insert on t for each row execute function note(); alter table t enable always trigger note`;
  const migration = await released(
    db,
    noting,
    /* sql */ `create table t (id int primary key); create table noted (id int); alter table noted replica identity full`,
  );
  await db.targetClient.query(/* sql */ `insert into t values (1)`);
  await drainBack(db, migration);
  const state = async (): Promise<unknown> =>
    (
      await db.sourceClient.query<{ n: number; enabled: string }>(/* sql */ `
        select (select count(*)::int from noted) as n, tgenabled::text as enabled from pg_trigger where tgname = 'note'`)
    ).rows[0];
  expect(await state()).toEqual({ n: 0, enabled: 'D' });
  await dropReverseSlot(migration);
  await closeWayBack(migration, testWork());
  expect(await state()).toEqual({ n: 0, enabled: 'A' });
});
