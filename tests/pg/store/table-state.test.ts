/** The states of the tables, through the functions that change them. */
import { expect, test } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import { parseLsn } from '../../../contract/lsn.ts';
import { TABLE_STATES, type TableState } from '../../../contract/table-state.ts';
import type { Migration } from '../../../contract/migration.ts';
import {
  deleteChunks,
  insertChunks,
  markChunk,
  readPendingChunks,
  type Chunk,
} from '../../../postgres/store/chunk.ts';
import type { PlannedDefinition } from '../../../postgres/store/planned-definition.ts';
import { readPlannedRelations, readUnfinished } from '../../../postgres/store/planned-relation.ts';
import {
  confirmTables,
  dropRelations,
  joinSnapshot,
  markAbsent,
  markEmptied,
  markForResync,
  markTreesForResync,
  registerRelations,
  renameRelation,
  takeRelations,
} from '../../../postgres/store/table-move.ts';
import { listTables, readTableStates } from '../../../postgres/store/table-report.ts';
import { streamChanges } from '../../../postgres/stream/lease.ts';
import { registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { drawn, type Pick } from '../../support/random/pick.ts';
import { addSnapshot, drain, OPTIONS, startMigration, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';

/** Written down a second time, independently of the product: from every state, where it may lead. */
const LEGAL: Readonly<Record<TableState, readonly TableState[]>> = {
  pending: ['copying', 'absent', 'catching-up', 'resync', 'dropped', 'ready'],
  copying: ['catching-up', 'absent', 'resync', 'dropped', 'ready'],
  'catching-up': ['ready', 'copying', 'absent', 'resync', 'dropped'],
  ready: ['copying', 'absent', 'resync', 'dropped', 'pending'],
  resync: ['copying', 'absent', 'ready', 'dropped'],
  absent: ['resync', 'dropped', 'ready'],
  dropped: ['pending', 'ready'],
};
const DONE = { rows: 1, bytes: 10, worker: 'test' };
const PASSES = 4;
const lsnOf = (pass: number) => parseLsn(`0/${pass}000`);

function named(name: string, oid: number, kind: 'r' | 'p' = 'r', root: string | null = null) {
  return {
    ...{ oid, schema: 'public', name, kind, pages: 1, estimatedRows: 5, bytes: 8192 },
    viaRoot:
      root === null
        ? null
        : {
            ...{ schema: 'public', name: root, oid: 1 },
            ...{ bornInPlace: true, bornAt: null, uniqueKey: true, bounds: null },
          },
  };
}

async function prepared(db: FreshPair): Promise<Migration> {
  const migration = await registered(db);
  for (let pass = 1; pass <= PASSES; pass += 1) {
    await db.targetClient.query(
      /* sql */ `insert into walferry.exported_snapshot
        (migration, number, snapshot, snapshot_xmin, snapshot_xmax, snapshot_xip, lsn, owner_pid, owner_started)
        values ($1, $2, 'x', 1, 1, '{}', $3, 0, now())`,
      [migration.id, pass, lsnOf(pass)],
    );
  }
  return migration;
}

interface Stored {
  id: number;
  name: string;
  kind: 'r' | 'p';
  state: TableState;
  pass: number | null;
  left: number;
}

async function stored(db: FreshPair): Promise<Stored[]> {
  const { rows } = await db.targetClient.query<Stored>(
    /* sql */ `select id, table_name as name, kind, state, pass, chunks_left as left from walferry.relation order by id`,
  );
  return rows;
}

/** Takes tables as a pass does: some in chunks of their own, the others in one bundle. */
async function take(
  db: FreshPair,
  migration: Migration,
  pass: number,
  ids: readonly number[],
  pick: Pick,
): Promise<void> {
  await deleteChunks(db.targetClient, migration, ids);
  const alone = pick.some(ids, 0.5);
  const bundle = ids.filter((id) => !alone.includes(id));
  const chunk = (relations: readonly number[]): Chunk => {
    return { relations, firstBlock: null, endBlock: null, pages: 1 };
  };
  const chunks = [
    ...alone.flatMap((id) => Array.from({ length: 1 + pick.below(3) }, () => chunk([id]))),
    ...(bundle.length > 0 ? [chunk(bundle)] : []),
  ];
  await insertChunks(db.targetClient, migration, pass, chunks);
  const count = (id: number) => chunks.filter(({ relations }) => relations.includes(id)).length;
  await takeRelations(db.targetClient, migration, pass, new Map(ids.map((id) => [id, count(id)])));
}

const DEFINITION: PlannedDefinition = {
  source: {
    ...{ oid: 1, schema: 'public', name: 'a', columns: [], dropped: [], place: '' },
    ...{ fingerprint: '', filenode: 1, emptiedBy: null, persistence: 'p' },
  },
  ...{ key: null, target: {} },
};

/** One random event, through the product's functions; legal or not. */
async function happen(db: FreshPair, migration: Migration, pick: Pick): Promise<void> {
  const target = db.targetClient;
  const tables = await stored(db);
  const rows = tables.filter(({ kind }) => kind === 'r');
  const pool = pick.one([rows.filter(({ state }) => state !== 'dropped'), rows, tables]);
  const some = pick.some(pool, 0.3).map(({ id }) => id);
  const any = tables.length === 0 ? undefined : pick.one(tables);
  const pass = 1 + pick.below(PASSES);
  const leaf = (name: string) => named(name, 100 + pick.below(3), pick.one(['r', 'r', 'r', 'p']));
  const events: (() => Promise<unknown>)[] = [
    () =>
      registerRelations(target, migration, [
        ...pick.some(['a', 'b', 'c', 'd'], 0.5).map(leaf),
        named('root', 1, 'p', 'root'),
        ...pick.some(['root_1', 'root_2'], 0.7).map((name) => named(name, 7, 'r', 'root')),
      ]),
    () => take(db, migration, pass, some, pick),
    async () => {
      await deleteChunks(target, migration, some);
      await markAbsent(target, migration, pass, some);
    },
    () => markEmptied(target, migration, some),
    () => markForResync(target, migration, new Map(some.map((id) => [id, 'was changed']))),
    () =>
      markTreesForResync(target, migration, [
        { schema: 'public', name: 'root', reason: 'a partition left it' },
      ]),
    async () => {
      // It was just added to the plan: no chunk has it.
      if (any?.state === 'pending') await deleteChunks(target, migration, [any.id]);
      const joining = { schema: 'public', name: any?.name ?? 'a', definition: DEFINITION };
      await joinSnapshot(target, migration, [joining], pass);
    },
    () => confirmTables(target, migration, lsnOf(pass)),
    () => renameRelation(target, migration, any?.id ?? 0, { schema: 'public', name: 'd' }),
    () => dropRelations(target, migration, some),
  ];
  const mark = async () => {
    const pending = await readPendingChunks(target, migration, pass);
    if (pending.length === 0) return;
    const { id } = pick.one(pending);
    expect(await markChunk(target, migration, { id, pass }, DONE)).toBe(true);
    // An attempt that is repeated changes nothing.
    expect(await markChunk(target, migration, { id, pass }, DONE)).toBe(false);
  };
  // Most copies should end.
  await (pick.chance(0.3) ? mark() : pick.one(events)());
}
test('no sequence of events reaches a state that is not legal, and the marks of the chunks agree with every state', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const target = db.targetClient;
  // Every single change of a state, also within one transaction.
  await target.query(/* sql */ `
    create table public.moved (was text, now text);
    create function public.noted() returns trigger language plpgsql as
      $$ begin insert into public.moved values (old.state, new.state); return null; end $$;
    create trigger noted after update on walferry.relation for each row
      when (old.state <> new.state) execute function public.noted()`);
  const pick = drawn();
  let refused = 0;
  for (let step = 0; step < 800; step += 1) {
    const before = await stored(db);
    await target.query('begin');
    try {
      await happen(db, migration, pick);
      await target.query('commit');
    } catch (error) {
      await target.query('rollback');
      // Another table has the name that a rename wants.
      const clash = error instanceof Error && 'code' in error && error.code === '23505';
      if (!clash) expect(error).toBeInstanceOf(MigrationError);
      if (!clash) expect(error).toMatchObject({ code: 'Internal' });
      refused += 1;
      expect(await stored(db)).toEqual(before);
    }
    const { rows: wrong } = await target.query(/* sql */ `
      with left_of as (
        select r.id, count(*)::integer as undone from walferry.relation r
          join walferry.chunk c on r.id = any(c.relations) and c.pass = r.pass and c.done_at is null
         group by 1)
      select r.id, r.kind, r.state, r.pass, r.chunks_left, l.undone from walferry.relation r left join left_of l using (id)
       where r.kind = 'r' and case r.state
               when 'copying' then r.chunks_left is distinct from l.undone
               when 'resync' then false
               else l.undone is not null end`);
    expect(wrong).toEqual([]);
    const tables = await stored(db);
    expect(await readUnfinished(target, migration, null)).toEqual(
      tables
        .filter(({ state }) => ['pending', 'copying', 'resync'].includes(state))
        .map(({ id }) => id),
    );
    expect((await readPlannedRelations(target, migration)).map(({ id }) => id)).toEqual(
      tables.filter(({ state }) => state !== 'dropped').map(({ id }) => id),
    );
  }
  const { rows: moves } = await target.query<{ was: TableState; now: TableState }>(
    /* sql */ `select distinct was, now from public.moved`,
  );
  expect(moves.filter(({ was, now }) => !LEGAL[was].includes(now))).toEqual([]);
  // The sequence was not idle.
  expect(new Set(moves.map(({ now }) => now)).size).toBe(TABLE_STATES.length);
  expect(refused).toBeGreaterThan(10);
}, 60_000);

test('the last two chunks of a table that are marked at the same time complete its copy', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  await registerRelations(db.targetClient, migration, [named('a', 100)]);
  const chunk = { relations: [1], firstBlock: null, endBlock: null, pages: 1 };
  await insertChunks(db.targetClient, migration, 1, [chunk, chunk]);
  await takeRelations(db.targetClient, migration, 1, new Map([[1, 2]]));
  await using other = await connectTo(db.target);
  for (const client of [db.targetClient, other]) await client.query('begin');
  expect(await markChunk(db.targetClient, migration, { id: 1, pass: 1 }, DONE)).toBe(true);
  const second = markChunk(other, migration, { id: 2, pass: 1 }, DONE);
  await using watcher = await connectTo(db.target);
  await until('the second mark to wait for the first', async () => {
    const { rowCount } = await watcher.query(
      /* sql */ `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rowCount === 1;
  });
  await db.targetClient.query('commit');
  expect(await second).toBe(true);
  await other.query('commit');
  expect(await stored(db)).toMatchObject([{ state: 'catching-up', left: 0 }]);
});

test('a table is ready with the commit that confirms the LSN of its snapshot, and the lease reports it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key); create table u (id int primary key)`,
  );
  expect(await readTableStates(db.targetClient, migration)).toEqual({
    counts: { 'catching-up': 2 },
    unready: [
      { table: 'public.t', state: 'catching-up' },
      { table: 'public.u', state: 'catching-up' },
    ],
  });
  await db.sourceClient.query(/* sql */ `insert into t values (1)`);
  await drain(db, migration);
  expect((await readTableStates(db.targetClient, migration)).counts).toEqual({ ready: 2 });
  // A later pass: only its own table has to catch up.
  await addSnapshot(db, migration);
  await db.targetClient.query(/* sql */ `
    update walferry.relation set state = 'catching-up', pass = 2 where table_name = 'u';
    update walferry.migration set consistent = false`);
  await db.sourceClient.query(/* sql */ `insert into u values (1)`);
  const report = await streamChanges(migration, { ...OPTIONS, leaseMs: 2_000 }, testWork());
  expect(report).toMatchObject({ consistent: true, states: { counts: { ready: 2 }, unready: [] } });
});

test('at most ten tables are named, those that need attention first, and the list has all with rows, lag and reason', async () => {
  await using db = await freshPair();
  const migration = await prepared(db);
  const names = Array.from({ length: 12 }, (_, i) => `t${String(i).padStart(2, '0')}`);
  await registerRelations(
    db.targetClient,
    migration,
    names.map((name, i) => named(name, 100 + i)),
  );
  const chunk = (...relations: number[]) => {
    return { relations, firstBlock: null, endBlock: null, pages: 1 };
  };
  await insertChunks(db.targetClient, migration, 1, [chunk(1), chunk(2, 3)]);
  const taken = new Map([1, 2, 3].map((id) => [id, 1]));
  await takeRelations(db.targetClient, migration, 1, taken);
  await markChunk(db.targetClient, migration, { id: 1, pass: 1 }, { ...DONE, rows: 7 });
  await markForResync(db.targetClient, migration, new Map([[12, 'was recreated on the source']]));
  await db.targetClient.query(/* sql */ `update walferry.migration set confirmed_lsn = '0/F00'`);
  const { counts, unready } = await readTableStates(db.targetClient, migration);
  expect(counts).toEqual({ pending: 8, copying: 2, 'catching-up': 1, resync: 1 });
  expect(unready).toHaveLength(10);
  expect(unready.slice(0, 3)).toEqual([
    { table: 'public.t11', state: 'resync', reason: 'was recreated on the source' },
    { table: 'public.t00', state: 'catching-up' },
    { table: 'public.t01', state: 'copying' },
  ]);
  const listed = await listTables(db.targetClient, migration.workflowId);
  expect(listed).toHaveLength(12);
  expect(listed?.slice(0, 3)).toMatchObject([
    { table: 'public.t11', state: 'resync', reason: 'was recreated on the source' },
    { table: 'public.t00', rows: 7, bytes: 10, estimated: false, bytesToSnapshot: 0x100 },
    { table: 'public.t01', rows: 5, bytes: 8192, estimated: true, bytesToSnapshot: null },
  ]);
  expect(await listTables(db.targetClient, 'another')).toBeNull();
});
