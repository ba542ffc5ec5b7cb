/** Tables whose reads cannot be planned under our empty search path, because functions of their indexes use unqualified names. */
import { expect, it } from 'vitest';
import { connect } from '../../../postgres/connection/connect.ts';
import { emptyTables } from '../../../postgres/snapshot/emptying.ts';
import { takeReplicaRole } from '../../../postgres/session/replica-role.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { codes, findingsOf } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';

/** `path` is what the function needs, and what the sessions that create all this have. */
const tables = (path: string): string => /* sql */ `
  create schema app; create schema tools; set search_path = ${path};
  create function tools.helper(v text) returns text language sql immutable as $$ select lower(v) $$;
  create function app.some(v text) returns text language sql immutable as $$ select helper(v) $$;
  create function app.wanted(v text) returns boolean language sql immutable as $$ select helper(v) like 'a%' $$;
  create table app.other (id int primary key); create table public.other (id int primary key);
  create table app.big (id int primary key, v text, r regclass, f float8, a regclass[]);
  create index on app.big (app.some(v)); create index on app.big (id) where app.wanted(v);
  create statistics app.st on (app.some(v)), id from app.big;
  insert into app.big select i, 'A' || repeat('x', 50) || i, case when i % 2 = 0 then 'app.other'::regclass else 'public.other' end, i,
    array['app.other'::regclass, 'public.other'] from generate_series(1, 30000) i;`;

async function streams(db: FreshPair, steps: Steps): Promise<void> {
  await steps.indexes();
  await using app = await connectTo(db.source);
  // NaN is read back by its key where wal2json sends a null.
  await app.query(/* sql */ `insert into app.big select 40000 + i, 'a', 'app.other', 'NaN', null from generate_series(1, 3) i;
    insert into app.big select 50000 + i, 'B', 'public.other', i, null from generate_series(1, 200) i;
    update app.big set v = 'c', f = '-Infinity' where id < 200; delete from app.big where id between 300 and 302`);
  await steps.cutover();
  // The comparison plans, too.
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(`alter function app.some set search_path = tools;
      alter function app.wanted set search_path = tools`);
  }
  await expectEqual(db.sourceClient, db.targetClient);
}

async function parts(db: FreshPair): Promise<number> {
  const { rows } = await db.targetClient.query<{ n: number }>(
    `select count(*)::int as n from walferry.chunk where first_block is not null`,
  );
  return rows[0]?.n ?? 0;
}

it("are read in ranges under the application's search path, and names in their rows stay schema-qualified", async () => {
  await using db = await freshPair();
  const path = 'app, tools, public';
  await db.sourceClient.query(`alter database ${db.source} set search_path = ${path}`);
  await db.targetClient.query(`alter database ${db.target} set search_path = ${path}`);
  await db.sourceClient.query(tables(path));
  await using steps = new Steps(db.source, db.target, { copy: { chunkMegabytes: 1 } });
  await steps.copy();
  expect(await parts(db)).toBeGreaterThan(1);
  await streams(db, steps);
});

it('are read whole, without a plan, when no search path of the source allows planning', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(tables('tools'));
  // On the target the function is fixed before its indexes are built.
  await using steps = new Steps(db.source, db.target, { copy: { chunkMegabytes: 1 } });
  await steps.copy();
  expect(await parts(db)).toBe(0);
  await db.targetClient.query(`alter function app.some set search_path = tools;
    alter function app.wanted set search_path = tools`);
  const { rows } = await db.targetClient.query('select count(*)::int as n from app.big');
  expect(rows).toEqual([{ n: 30_000 }]);
  await steps.indexes();
});

/** Foreign keys from and to such tables, validated after they are added; those to a partitioned table while they are added. */
const REFERRING = /* sql */ `
  create table app.child (id int primary key, big int references app.big, v text);
  create index on app.child ((app.some(v)));
  create table app.parted (id int primary key, v text) partition by range (id);
  create table app.parted_1 partition of app.parted for values from (0) to (100000);
  create index on app.parted ((app.some(v)));
  create table app.leaf (id int primary key, parted int references app.parted, v text) partition by range (id);
  create table app.leaf_1 partition of app.leaf for values from (0) to (100000);
  create index on app.leaf ((app.some(v)));`;

it('are referred to by foreign keys that hold on the target', async () => {
  await using db = await freshPair();
  const path = 'app, tools, public';
  await db.sourceClient.query(`alter database ${db.source} set search_path = ${path}`);
  await db.targetClient.query(`alter database ${db.target} set search_path = ${path}`);
  await db.sourceClient.query(`${tables(path)} ${REFERRING}
    insert into app.child select i, i, 'A' from generate_series(1, 200) i;
    insert into app.parted select i, 'A' from generate_series(1, 200) i;
    insert into app.leaf select i, i, 'A' from generate_series(1, 200) i`);
  await using steps = new Steps(db.source, db.target);
  await steps.copy();
  await streams(db, steps);
  const { rows } = await db.targetClient.query(
    `select count(*) filter (where conparentid = 0)::int as n, bool_and(convalidated) as valid
       from pg_constraint where contype = 'f' and connamespace = 'app'::regnamespace`,
  );
  expect(rows).toEqual([{ n: 2, valid: true }]);
});

it('are queried and emptied where the operator created them on the target', async () => {
  await using db = await freshPair();
  const path = 'app, tools, public';
  const made = `${tables(path)} ${REFERRING}`;
  await db.sourceClient.query(`alter database ${db.source} set search_path = ${path}; ${made}`);
  await db.targetClient.query(`alter database ${db.target} set search_path = ${path}; ${made}`);
  const input = { tables: { exclude: ['public.other', 'app.other'] } };
  const findings = await findingsOf(db, { input });
  expect(codes(findings.filter(({ level }) => level === 'error'))).toEqual(['target-rows']);
  // A table that others refer to is emptied with DELETE, which is planned.
  await using session = await connect(db.target, 'copy');
  await takeReplicaRole(session);
  await session.query('begin');
  await emptyTables(session, [{ schema: 'app', name: 'big' }]);
  await session.query('commit');
  expect(codes((await findingsOf(db, { input })).filter(({ level }) => level === 'error'))).toEqual(
    [],
  );
  await using steps = new Steps(db.source, db.target, input);
  await steps.copy();
  const { rows } = await db.targetClient.query('select count(*)::int as n from app.big');
  expect(rows).toEqual([{ n: 30_000 }]);
});
