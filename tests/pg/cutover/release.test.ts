/** The slot at the end of a cutover: only an attempt that has checked and found nothing drops it. */
import pg from 'pg';
import { expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { takeEpoch } from '../../../postgres/store/epoch.ts';
import { finalCheck, laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { enteringTables } from '../../../postgres/catalog/uncommitted-table.ts';
import { releaseSlot } from '../../../postgres/cutover/release-slot.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { marked, startMigration } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { failure, inputOf } from '../schema/schema-fidelity.ts';

const prepared = (db: FreshPair): Promise<Migration> =>
  startMigration(
    db,
    /* sql */ `create table t (id int primary key); create table left_out (id serial primary key)`,
    { include: ['*.*'], ...SELECTION.tables },
  );

const SELECTION = { tables: { exclude: ['public.left_out'] } };
const CHOSEN = { exclude: ['public.left_out'] };

async function slots(db: FreshPair, { slot }: Migration): Promise<number | null> {
  const { rowCount } = await db.sourceClient.query(
    /* sql */ `select from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  return rowCount;
}

test('the slot is dropped if nothing was written since the end mark, and a second attempt finds it gone', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  await db.sourceClient.query(/* sql */ `insert into t values (1)`);
  const mark = await marked(migration, CHOSEN);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('dropped');
  expect(await slots(db, migration)).toBe(0);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('absent');
});

test.each(['before any check', 'after a check that found a write'])(
  'a slot that another session dropped %s does not complete the cutover',
  async (when) => {
    await using db = await freshPair();
    const migration = await prepared(db);
    const input = inputOf(db, SELECTION);
    const mark = await marked(migration, CHOSEN);
    expect(await laterChanges(migration, input, mark)).toEqual([]);
    await db.sourceClient.query(/* sql */ `insert into t values (1)`);
    if (when !== 'before any check') {
      await failure(releaseSlot(migration, input, mark), 'StillWriting');
    }
    await db.sourceClient.query(/* sql */ `select pg_drop_replication_slot($1)`, [migration.slot]);
    const { message } = await failure(releaseSlot(migration, input, mark), 'SlotMissing');
    expect(message).toContain(`slot "${migration.slot}" is gone from "${db.source}"`);
    expect(message).toContain(`walferry compare ${db.source} ${db.target}`);
  },
);

test('a release that cannot reach one of the databases says which: an unreachable target is not reported as a missing source', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const mark = await marked(migration, CHOSEN);
  for (const side of ['source', 'target'] as const) {
    const elsewhere = { ...migration, [side]: 'no_such_service' };
    const { details } = await failure(
      releaseSlot(elsewhere, inputOf(db, SELECTION), mark),
      'UnknownService',
    );
    expect(details.side).toBe(side);
  }
  // Whether a stale position is the source's or the target's fault is unknown here.
  await db.targetClient.query(/* sql */ `delete from walferry.migration`);
  const { details } = await failure(
    releaseSlot(migration, inputOf(db, SELECTION), mark),
    'CheckpointMissing',
  );
  expect(details.side).toBe('unknown');
  expect(await slots(db, migration)).toBe(1);
});

test('a write after the end mark, committed or not, keeps the slot and is named by its table', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  const mark = await marked(migration, CHOSEN);
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; insert into t values (1)`);
  expect((await failure(releaseSlot(migration, input, mark), 'StillWriting')).message).toContain(
    'public.t',
  );
  await open.query(/* sql */ `commit`);
  expect((await failure(releaseSlot(migration, input, mark), 'StillWriting')).message).toContain(
    'public.t',
  );
  expect(await slots(db, migration)).toBe(1);
  expect(await releaseSlot(migration, input, await marked(migration, CHOSEN))).toBe('dropped');
});

test.each([
  { how: 'nextval', sql: `select nextval('ids') from generate_series(1, 5)` },
  { how: 'nextval of a sequence that was never called', sql: `select nextval('unused')` },
  { how: 'a rolled back insert', sql: `begin; insert into t values (default); rollback` },
  { how: 'setval backwards', sql: `select setval('ids', -1, false)` },
  { how: 'an excluded table that shares it', sql: `insert into left_out values (default)` },
])(
  'a sequence that advanced after it was set keeps the slot and is named: $how',
  async ({ how, sql }) => {
    await using db = await freshPair();
    const ddl = /* sql */ `
    create sequence ids increment -50; create sequence unused; create sequence shared; select nextval('ids'), nextval('ids');
    create table t (id int primary key default nextval('shared')); create table left_out (id int default nextval('shared'))`;
    const migration = await startMigration(db, ddl, { include: ['*.*'], ...SELECTION.tables });
    const input = inputOf(db, SELECTION);
    await db.targetClient.query(/* sql */ `alter sequence ids restart; select nextval('ids')`);
    const mark = await marked(migration, CHOSEN);
    await setSequences(migration, input);
    expect(await laterChanges(migration, input, mark)).toEqual([]);
    await db.sourceClient.query(sql);
    const name = how.includes('nextval of') ? 'unused' : how.includes('val') ? 'ids' : 'shared';
    const named = `public.${name} (sequence)`;
    expect(await laterChanges(migration, input, mark)).toEqual([named]);
    const found = await failure(releaseSlot(migration, input, mark), 'StillWriting');
    expect(found.message).toContain(`${named} changed after the end mark`);
    expect(await slots(db, migration)).toBe(1);
    await setSequences(migration, input);
    expect(await releaseSlot(migration, input, mark)).toBe('dropped');
  },
);

test('sequences of tables that may be written do not keep the slot: excluded ones, and accepted unlogged ones', async () => {
  await using db = await freshPair();
  const ddl = /* sql */ `
    create table t (id int primary key); create sequence log_ids; create table left_out (id int default nextval('log_ids'));
    create unlogged table cache (id serial primary key)`;
  const migration = await startMigration(
    db,
    ddl,
    { include: ['*.*'], ...SELECTION.tables },
    ddl.replace('unlogged', ''),
  );
  const ignore = { missingIdentity: [], unlogged: ['public.cache'] };
  const input = inputOf(db, { ...SELECTION, ignore });
  const mark = await marked(migration, { ...CHOSEN, ignore });
  await setSequences(migration, input);
  await db.sourceClient.query(
    /* sql */ `insert into left_out default values; insert into cache default values`,
  );
  expect(await releaseSlot(migration, input, mark)).toBe('dropped');
});

test('a target that lost applied changes is reported even if the source is gone, which would otherwise complete the cutover', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const mark = await marked(migration, CHOSEN);
  await db.targetClient.query(
    /* sql */ `update walferry.migration set confirmed_lsn = ($1::pg_lsn - 100)::pg_lsn`,
    [mark],
  );
  const { details } = await failure(
    releaseSlot({ ...migration, source: 'no_such_service' }, inputOf(db, SELECTION), mark),
    'CheckpointMissing',
  );
  expect(details.side).not.toBe('source');
});

test('busy writers of other tables and their open transactions do not keep the slot', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  await using busy = await connectTo(db.source);
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; insert into left_out default values`);
  let writing = true;
  const writer = (async () => {
    while (writing) await busy.query(/* sql */ `insert into left_out default values`);
  })();
  const mark = await marked(migration, CHOSEN);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('dropped');
  writing = false;
  await writer;
});

/**
 * Runs `work` on a source whose first check takes longer than two seconds.
 * @param atDrop runs around each statement that drops the slot.
 * @returns the number of checks: each writes a mark.
 */
async function slowly(
  db: FreshPair,
  work: () => Promise<unknown>,
  atDrop = (drop: () => unknown): unknown => drop(),
): Promise<number> {
  const query = Reflect.get(pg.Client.prototype, 'query') as unknown;
  if (typeof query !== 'function') throw new Error('no query');
  let checks = 0;
  Reflect.set(
    pg.Client.prototype,
    'query',
    function (this: pg.Client, ...args: unknown[]): unknown {
      const go = (): unknown => Reflect.apply(query, this, args);
      const sql = String(args[0]);
      if (sql.includes('pg_drop_replication_slot')) return atDrop(go);
      if (!sql.includes('pg_logical_emit_message(true')) return go();
      checks += 1;
      return checks > 1 ? go() : db.sourceClient.query('select pg_sleep(2.1)').then(go);
    },
  );
  try {
    await work();
    return checks;
  } finally {
    Reflect.set(pg.Client.prototype, 'query', query);
  }
}

test('a slow check is not repeated to catch a moment without writes, and is repeated at most once for other reasons', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  const mark = await marked(migration, CHOSEN);
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; insert into left_out default values`);
  await using other = await connectTo(db.source);
  const locked = async (drop: () => unknown): Promise<unknown> => {
    await other.query(/* sql */ `begin; lock table t in row exclusive mode`);
    const result = await drop();
    await other.query(/* sql */ `rollback`);
    return result;
  };
  const kept = () => failure(releaseSlot(migration, input, mark), 'StillWriting');
  expect(await slowly(db, kept, locked)).toBe(2);
  expect(await slots(db, migration)).toBe(1);
  expect(await slowly(db, () => releaseSlot(migration, input, mark))).toBe(1);
  expect(await slots(db, migration)).toBe(0);
});

test('a writer that starts during the final check keeps the slot', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  const mark = await marked(migration, CHOSEN);
  // The check waits for this lock when it reads the table sizes, which is before it queries the writers.
  await using writer = await connectTo(db.source);
  await writer.query(/* sql */ `begin; lock table t in access exclusive mode`);
  const released = releaseSlot(migration, input, mark);
  await writer.query(/* sql */ `insert into t values (1); commit`);
  await failure(released, 'StillWriting');
  expect(await slots(db, migration)).toBe(1);
});

test('a check that waits for a lock on a selected table ends within seconds, and names the table and the lock’s owner', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  const mark = await marked(migration, CHOSEN);
  await using owner = await connectTo(db.source);
  await owner.query(/* sql */ `begin; lock table t in access exclusive mode`);
  const { rows } = await owner.query<{ pid: number }>('select pg_backend_pid() as pid');
  const named = `public.t (pid ${rows[0]?.pid})`;
  const checks = [laterChanges(migration, input, mark), releaseSlot(migration, input, mark)];
  for (const found of await Promise.all(checks.map((check) => failure(check, 'Contention')))) {
    expect(found.message).toContain(named);
    expect(found.details.table).toBe('public.t');
  }
  expect(await slots(db, migration)).toBe(1);
  await owner.query('rollback');
  expect(await releaseSlot(migration, input, mark)).toBe('dropped');
});

/** A release that has verified its identity and hangs in its check, as a frozen worker would, until the lock is released. */
async function hangingRelease(db: FreshPair) {
  const migration = await startMigration(db, /* sql */ `create table t (id int primary key)`);
  const mark = await marked(migration);
  const lock = await connectTo(db.source);
  await lock.query(/* sql */ `begin; lock table t in access exclusive mode`);
  const first = releaseSlot(migration, inputOf(db), mark, undefined, 1_000);
  // Its result is read later.
  first.catch(() => undefined);
  const ofRelease = async () => {
    const { rows } = await db.sourceClient.query<{ pid: number; waits: boolean }>(/* sql */ `
      select pid, exists (select from pg_locks l where not l.granted and l.relation = 't'::regclass) as waits
        from pg_stat_activity where datname = current_database() and application_name like 'walferry cleanup%'`);
    return rows;
  };
  const [own] = await until('the check to wait for the lock', async () => {
    const rows = await ofRelease();
    return rows[0]?.waits === true && rows;
  });
  return { migration, mark, lock, first, pid: own?.pid, ofRelease };
}

test('a release that was frozen in its check and wakes up after a stream started drops nothing', async () => {
  await using db = await freshPair();
  const { migration, lock, first } = await hangingRelease(db);
  await using stream = await connectTo(db.target);
  await takeEpoch(stream, migration, null, 2_000);
  await lock.query('rollback');
  await lock.end();
  await expect(first).rejects.toMatchObject({
    code: expect.stringMatching(/Fenced|Unreachable/) as string,
  });
  expect(await slots(db, migration)).toBe(1);
});

test('a release ends the sessions of an earlier frozen one, which can then drop nothing; one scheduled earlier is refused', async () => {
  await using db = await freshPair();
  const { migration, mark, lock, first, pid, ofRelease } = await hangingRelease(db);
  const second = releaseSlot(migration, inputOf(db), mark, undefined, 2_000);
  const refused = failure(second, 'StillWriting');
  await until('the first session to be ended', async () =>
    (await ofRelease()).every((one) => one.pid !== pid),
  );
  await lock.query(/* sql */ `insert into t values (1); commit`);
  await lock.end();
  expect((await refused).message).toContain('public.t');
  await expect(first).rejects.toBeDefined();
  await failure(releaseSlot(migration, inputOf(db), mark, undefined, 1_500), 'Fenced');
  expect(await slots(db, migration)).toBe(1);
  const next = await marked(migration);
  expect(await releaseSlot(migration, inputOf(db), next, undefined, 3_000)).toBe('dropped');
});

/** What removes `t` from a selection that names it, and where its writes go then. */
const WAYS_OUT = [
  { how: 'renamed', ddl: 'alter table t rename to t_old', name: 't_old' },
  {
    how: 'renamed and replaced',
    ddl: 'alter table t rename to t_old; create table t (id int primary key)',
    name: 't_old',
  },
  { how: 'moved', ddl: 'create schema away; alter table t set schema away', name: 'away.t' },
  { how: 'detached', ddl: 'alter table p detach partition t', name: 't' },
  {
    how: 'given to an extension',
    ddl: 'create extension hstore; alter extension hstore add table t',
    name: 't',
  },
] as const;

test.each(WAYS_OUT)(
  'a planned table that is $how after the end mark, and so no longer selected, keeps the slot when it is written',
  async ({ how, ddl, name }) => {
    await using db = await freshPair();
    // A partition is selected with its root.
    const include = how === 'detached' ? ['public.p'] : ['public.t'];
    const table =
      how === 'detached'
        ? /* sql */ `create table p (id int primary key) partition by list (id); create table t partition of p default`
        : /* sql */ `create table t (id int primary key)`;
    const migration = await startMigration(db, table, { include, exclude: [] });
    const input = inputOf(db, { tables: { include } });
    const mark = await marked(migration, { include });
    expect(await laterChanges(migration, input, mark)).toEqual([]);
    await db.sourceClient.query(ddl);
    await db.sourceClient.query(`insert into ${name} values (1)`);
    expect(await laterChanges(migration, input, mark)).toEqual(['public.t']);
    const found = await failure(releaseSlot(migration, input, mark), 'StillWriting');
    expect(found.message).toContain('public.t ');
    expect(await slots(db, migration)).toBe(1);
  },
);

/** DDL that changes no row, after which the target still lacks rows or values. */
const SILENT = [
  {
    how: 'a partition with rows that is attached',
    ddl: `alter table p attach partition outside.t default`,
    named: 'outside.t',
  },
  {
    how: 'a table with rows that is moved into a selected schema',
    ddl: `alter table outside.t set schema own`,
    named: 'own.t',
  },
  {
    how: 'a table with rows that is renamed into the selection',
    ddl: `alter table old rename to wanted`,
    named: 'public.wanted',
  },
  {
    how: 'a table that is dropped and recreated',
    ddl: `drop table t; create table t (id int primary key)`,
    named: 'public.t',
  },
  {
    how: 'an added column with a default',
    ddl: `alter table t add c int not null default 7`,
    named: 'public.t',
  },
  { how: 'a renamed column', ddl: `alter table t rename v to w`, named: 'public.t' },
  { how: 'a dropped column', ddl: `alter table t drop v`, named: 'public.t' },
  {
    how: 'a partition that leaves a tree that is one table on the target',
    ddl: `alter table tree detach partition leaf`,
    named: 'public.leaf',
  },
  {
    how: 'a table that joins a tree that is one table on the target',
    ddl: `alter table tree attach partition twig for values from (100) to (200)`,
    named: 'public.twig',
  },
  {
    how: 'a partition whose branch leaves a tree that is one table on the target and comes back',
    ddl: `alter table tree detach partition branch; alter table tree attach partition branch for values from (200) to (300)`,
    named: 'public.bud',
  },
] as const;

test.each(SILENT)(
  '$how after the end mark, without a change of a row, keeps the slot and is named',
  async ({ ddl, named }) => {
    await using db = await freshPair();
    const tables = {
      include: [
        'public.t',
        'public.p',
        'public.wanted',
        'public.tree',
        'public.leaf',
        'public.twig',
        'own.*',
      ],
      viaPartitionRoot: ['public.tree'],
    };
    const common = /* sql */ `
      create schema own; create schema outside;
      create table t (id int primary key, v text); create table p (id int primary key) partition by list (id);
      create table twig (id int primary key); create table old (id int primary key);
      create table outside.t (id int primary key);`;
    const migration = await startMigration(
      db,
      /* sql */ `${common}
      create table tree (id int primary key) partition by range (id);
      create table leaf partition of tree for values from (0) to (100);
      create table branch partition of tree for values from (200) to (300) partition by list (id);
      create table bud partition of branch default;
      insert into t values (1, 'a'); insert into old values (1); insert into leaf values (1); insert into twig values (100);
      insert into bud values (200); insert into outside.t values (1)`,
      { ...tables, exclude: [] },
      /* sql */ `${common} create table tree (id int primary key)`,
    );
    const input = inputOf(db, { tables });
    const mark = await marked(migration, tables);
    expect(await laterChanges(migration, input, mark)).toEqual([]);
    await db.sourceClient.query(ddl);
    expect(await laterChanges(migration, input, mark)).toEqual([named]);
    const found = await failure(releaseSlot(migration, input, mark), 'StillWriting');
    expect(found.message).toContain(named);
    expect(await slots(db, migration)).toBe(1);
  },
);

test('a column that both sides get after the end mark, and an empty table that only the source has, do not keep the slot', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  await db.sourceClient.query(/* sql */ `insert into t values (1)`);
  const input = inputOf(db, SELECTION);
  const mark = await marked(migration, CHOSEN);
  for (const side of [db.sourceClient, db.targetClient]) {
    await side.query(/* sql */ `alter table public.t add c int not null default 7`);
  }
  await db.sourceClient.query(/* sql */ `create table fresh (id int primary key)`);
  expect(await laterChanges(migration, input, mark)).toEqual([]);
  expect(await releaseSlot(migration, input, mark)).toBe('dropped');
});

test('an open transaction that writes to a table under a name outside the selection is named', async () => {
  await using db = await freshPair();
  const include = ['public.t'];
  const migration = await startMigration(db, /* sql */ `create table t (id int primary key)`, {
    ...{ include, exclude: [] },
  });
  const input = inputOf(db, { tables: { include } });
  const mark = await marked(migration, { include });
  await using open = await connectTo(db.source);
  await db.sourceClient.query(/* sql */ `alter table t rename to t_old`);
  await open.query(/* sql */ `begin; insert into t_old values (1)`);
  expect(await laterChanges(migration, input, mark)).toEqual(['public.t', 'public.t_old']);
  await open.query(/* sql */ `commit`);
  await failure(releaseSlot(migration, input, mark), 'StillWriting');
});

test('large objects that were created after preflight keep the slot, unless the input accepts their loss', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const input = inputOf(db, SELECTION);
  await db.sourceClient.query(/* sql */ `select lo_from_bytea(0, 'a'), lo_from_bytea(0, 'b')`);
  const mark = await marked(migration, CHOSEN);
  for (const look of [laterChanges(migration, input, mark), releaseSlot(migration, input, mark)]) {
    expect((await failure(look, 'StillWriting')).message).toContain(
      '2 large objects (pg_largeobject)',
    );
  }
  expect(await slots(db, migration)).toBe(1);
  const accepted = inputOf(db, { ...SELECTION, ignore: { largeObjects: true } });
  expect(await laterChanges(migration, accepted, mark)).toEqual([]);
  await db.sourceClient.query(/* sql */ `select lo_unlink(oid) from pg_largeobject_metadata`);
  expect(await releaseSlot(migration, input, await marked(migration, CHOSEN))).toBe('dropped');
});

test('an open transaction that creates a selected table keeps the slot: no catalog shows its rows yet', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const mark = await marked(migration, CHOSEN);
  await using open = await connectTo(db.source);
  await open.query(/* sql */ `begin; create table public.fresh as select 1 as id`);
  const { message } = await failure(
    releaseSlot(migration, inputOf(db, SELECTION), mark),
    'StillWriting',
  );
  expect(message).toContain('create or attach tables');
  expect(await slots(db, migration)).toBe(1);
  await open.query(/* sql */ `rollback`);
  expect(await releaseSlot(migration, inputOf(db, SELECTION), mark)).toBe('dropped');
});

test('the final check reports a transaction that was open when it began and created a table, also if it ends before the drop', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const mark = await marked(migration, CHOSEN);
  await using open = await connectTo(db.source);
  const check = () =>
    finalCheck(migration, inputOf(db, SELECTION), mark, {
      signal: new AbortController().signal,
      beat: () => undefined,
    });
  await open.query(/* sql */ `begin; create table public.fresh as select 1 as id`);
  expect((await check()).entering).toBe(true);
  await open.query(/* sql */ `rollback`);
  expect((await check()).entering).toBe(false);
});

/** What an open transaction does, and whether it adds a table to the selection `own.*`. */
const OPEN = [
  [true, `create table own.fresh (id int)`],
  [true, `create table own.fresh as select 1 as id`],
  [true, `savepoint a; create table own.fresh (id int); release savepoint a`],
  [true, `create schema fresh; create table fresh.t (id int)`],
  [true, `alter table away.moving set schema own`],
  [true, `alter table own.p attach partition away.leaf for values in (2)`],
  [true, `create table away.fresh partition of own.p for values in (3)`],
  [true, `create table away.fresh () inherits (own.t)`],
  [true, `alter table away.t inherit own.t`],
  [true, `alter table own.left_out rename to fresh`],
  [true, `savepoint a; alter table own.left_out rename to fresh; release savepoint a`],
  [true, `alter schema away rename to fresh`],
  [true, `alter extension hstore drop table own.left_out`],
  [false, `truncate own.left_out`],
  [false, `lock table own.left_out; analyze own.left_out`],
  [false, `truncate away.t; insert into away.t values (1)`],
  [false, `lock table away.t`],
  [false, `create table away.fresh (id int)`],
  [false, `create temp table fresh (id int)`],
  [false, `create index on away.t (id)`],
  [false, `create index on own.t (id)`],
  [false, `alter table away.t add c int`],
  [false, `select count(*) from own.t; select nextval('own.s')`],
] as const;

test.each(['open', 'prepared'])(
  '%s transactions that create, move or attach a table into the selection are found, and no others',
  async (how) => {
    await using db = await freshPair();
    await db.sourceClient.query(/* sql */ `
      create schema own; create schema away; create table own.t (id int); create sequence own.s;
      create table own.p (id int) partition by list (id); create table own.p_1 partition of own.p for values in (1);
      create table away.t (id int); create table away.leaf (id int);
      create table away.moving (id int); create table own.left_out (id int primary key); create extension hstore;
      alter extension hstore add table own.left_out`);
    // The first temporary table of a session creates a schema.
    await using open = await connectTo(db.source);
    await open.query(/* sql */ `create temp table first (id int)`);
    // Older than all of them: the rows of rolled back ones stay in the catalog.
    await using old = await connectTo(db.source);
    await old.query(/* sql */ `begin; select pg_current_xact_id()`);
    const seen: [boolean, string][] = [];
    const cases = OPEN.filter(([, sql]) => how === 'open' || !/temp/.test(sql));
    for (const [, sql] of cases) {
      await open.query(`begin; ${sql}`);
      if (how === 'prepared') await open.query(`prepare transaction '${db.source}'`);
      const { rows } = await db.sourceClient.query<{ oids: number[] }>(/* sql */ `
        select array_agg(oid::int) as oids from pg_class where relnamespace = 'own'::regnamespace and relkind in ('r', 'p')
            and relname <> 'left_out'`);
      const { rowCount } = await db.sourceClient.query(enteringTables('$1', '$2'), [
        rows[0]?.oids,
        ['own'],
      ]);
      seen.push([(rowCount ?? 0) > 0, sql]);
      await open.query(how === 'prepared' ? `rollback prepared '${db.source}'` : `rollback`);
    }
    expect(seen).toEqual(cases);
  },
);
