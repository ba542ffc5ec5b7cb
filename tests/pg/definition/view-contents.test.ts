/** Contents of materialized views: what both sides have stored, compared without a row leaving the databases. */
import { expect, test } from 'vitest';
import { parseLsn } from '../../../contract/lsn.ts';
import { compareContents } from '../../../postgres/definition/view-contents.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { serverOf } from '../../support/versions.ts';
import { inputOf, migrationOf, testWork } from '../schema/schema-fidelity.ts';

const ROWS = /* sql */ `insert into t select i, case when i % 7 = 0 then null else 'row ' || i % 5 end, i / 3.0, now() from generate_series(1, 400) i`;
const SCHEMA = /* sql */ `
  create table t (id int primary key, v text, n numeric, at timestamptz);
  create materialized view a_kept as select id, v, n from t; create unique index on a_kept (id);
  create materialized view b_twice as select v, n > 50 as big from t;
  create materialized view c_empty as select * from t with no data;
  create materialized view d_later as select count(*) as n from t with no data;
  create materialized view "E ""odd""" as select v, array_agg(n order by id) as "All N" from t group by v`;

async function filled(db: FreshPair, more: Record<string, unknown> = {}) {
  await db.sourceClient.query(SCHEMA);
  const migration = migrationOf(db);
  const input = inputOf(db, more);
  await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  for (const client of [db.sourceClient, db.targetClient]) await client.query(ROWS);
  await db.sourceClient.query(/* sql */ `
    refresh materialized view a_kept; refresh materialized view b_twice; refresh materialized view "E ""odd"""`);
  return { migration, input, refresh: () => refreshViews(migration, input, null, testWork()) };
}

type Filled = Awaited<ReturnType<typeof filled>>;

const contents = async (
  { migration, input }: Filled,
  ...limits: { viewMs: number; totalMs: number }[]
) => {
  const views = await compareContents(migration, input, {}, ...limits);
  const found = views?.found.map((one) => `${one.contents} ${one.object} ${one.what}`);
  return { equal: views?.equal, found, runs: views?.found.map(({ run }) => run) };
};

test('views that are not filled yet are named with who fills them, and filled ones are equal, duplicates and nulls included', async () => {
  await using db = await freshPair();
  const all = await filled(db);
  await db.sourceClient.query(/* sql */ `refresh materialized view d_later`);
  const by = 'is not filled on the target yet: walferry fills it by the cutover at the latest';
  const before = await contents(all);
  expect(before.equal).toBe(0);
  expect([...(before.found ?? [])].sort()).toEqual([
    `later public.E "odd" ${by}`,
    `later public.a_kept ${by}`,
    `later public.b_twice ${by}`,
    `later public.d_later ${by}`,
  ]);
  await all.refresh();
  expect(await contents(all)).toMatchObject({ equal: 3, found: [`later public.d_later ${by}`] });
  await refreshViews(all.migration, all.input, parseLsn('0/10'), testWork());
  expect(await contents(all)).toEqual({ equal: 4, found: [], runs: [] });
});

test.each([
  ['one value', /* sql */ `update t set n = n + 0.0001 where id = 77`, ['E "odd"', 'a_kept']],
  [
    'a value of another scale',
    /* sql */ `update t set n = 25.00 where n = 25`,
    ['E "odd"', 'a_kept'],
  ],
  ['a missing row', /* sql */ `delete from t where id = 5`, ['E "odd"', 'a_kept', 'b_twice']],
  [
    'one duplicate instead of another',
    /* sql */ `update t set v = 'row 4' where id = 1`,
    ['E "odd"', 'a_kept', 'b_twice'],
  ],
])('a view that differs in %s is found, with what to run', async (_, change, expected) => {
  await using db = await freshPair();
  const all = await filled(db);
  await db.targetClient.query(change);
  await all.refresh();
  const { equal, found = [], runs = [] } = await contents(all);
  expect(equal).toBe(3 - expected.length);
  expect([...found].sort()).toEqual(
    expected.map(
      (name) =>
        `later public.${name} shows other rows on the target, and the cutover refreshes it there`,
    ),
  );
  expect([...runs].sort().at(-1)).toBe(
    `refresh materialized view "public"."${expected.at(-1) ?? ''}"; -- on both sides: what differs then comes from its query, or from what it reads`,
  );
  // What is named makes them equal, once the rows are.
  await db.sourceClient.query(change);
  for (const run of runs) await db.sourceClient.query(run ?? '');
  expect(await contents(all)).toMatchObject({ equal: 3, found: [] });
});

test('without a refresh in the cutover a view that differs stays so, and that is said', async () => {
  await using db = await freshPair();
  const all = await filled(db, { cutover: { refresh: false } });
  await all.refresh();
  await db.sourceClient.query(/* sql */ `
    delete from t where id = 8; refresh materialized view b_twice; refresh materialized view d_later`);
  expect((await contents(all)).found?.sort()).toEqual([
    'stays public.b_twice shows other rows on the target, and the cutover does not refresh it',
    'stays public.d_later is not filled on the target, and the cutover does not fill it',
  ]);
});

test('a view that takes too long or is locked is named and not compared; the others are', async () => {
  await using db = await freshPair();
  const all = await filled(db);
  await all.refresh();
  await db.sourceClient.query(/* sql */ `begin; refresh materialized view a_kept`);
  const began = performance.now();
  expect(await contents(all)).toMatchObject({
    equal: 2,
    found: ['unknown public.a_kept was not compared: it is locked on the source'],
  });
  expect(performance.now() - began).toBeLessThan(60_000);
  await db.sourceClient.query('rollback');
  const none = await contents(all, { viewMs: 30_000, totalMs: 0 });
  expect(none.equal).toBe(0);
  expect(none.found).toContain(
    'unknown public.b_twice was not compared: the views before it took too long',
  );
  const slow = /* sql */ `
    insert into t select i, repeat('x', 200), i, now() from generate_series(1001, 200000) i; refresh materialized view a_kept`;
  await db.targetClient.query(slow);
  expect((await contents(all, { viewMs: 20, totalMs: 60_000 })).found).toContain(
    'unknown public.a_kept was not compared: reading it takes longer than 1 s on the target',
  );
});

const other = findOther(18);
test.skipIf(!other)('views of a newer version that hold the same rows are equal', async () => {
  if (!other) return;
  await using server = await serverOf('target', other);
  await using db = await freshPair({ target: server });
  const all = await filled(db);
  await all.refresh();
  expect(await contents(all)).toEqual({ equal: 3, found: [], runs: [] });
});
