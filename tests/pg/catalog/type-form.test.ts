/** Types of the same name with another definition on the target: a value would be rounded or truncated there without an error. */
import { expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { compareColumns } from '../../../postgres/catalog/column-difference.ts';
import { readRelations, readRelationsNamed } from '../../../postgres/catalog/read-relations.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { copyAll, holding, inputOf, recordedWork, registered } from '../../support/control.ts';
import { observed } from '../../support/observed.ts';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { codes, findingsOf, only } from '../../support/preflight.ts';
import { EVERYTHING, expectSame, startMigration } from '../../support/stream.ts';

interface Bases {
  readonly money: string;
  readonly moment: string;
  readonly code: string;
  readonly unit: string;
}

const SOURCE: Bases = {
  money: 'numeric(12,4)',
  moment: 'timestamp',
  code: 'varchar(9)',
  unit: 'numeric',
};
/** Each accepts the source's values and changes them. */
const TARGET: Bases = {
  money: 'numeric(10,2)',
  moment: 'date',
  code: 'char(9)',
  unit: 'int8',
};

/** One column for each path from a column to a modifier. */
function tables({ money, moment, code, unit }: Bases): string {
  return /* sql */ `
    create domain amount as ${money}; create domain price as amount check (value is not null);
    create domain moment as ${moment}; create domain amounts as ${money}[]; create domain prices as price[];
    create domain measure as ${unit}; create type reach as range (subtype = measure);
    create type pair as (a ${money}, b int); create type "Outer" as (n int, p pair[]);
    create type tagged as (tag ${code}); create type ticked as (at moment); create domain held as pair;
    create table row_like (id int primary key, v ${money});
    create table t (id int primary key, c_domain amount, c_nested price, c_moment moment, c_modified amounts, c_array amount[],
      c_both prices, c_range reach, c_pair pair, c_deep "Outer", c_text tagged, c_attribute ticked, c_held held,
      c_equal int, c_list ticked[], c_multi reach_multirange);`;
}

const ROW = /* sql */ `insert into t values (1, 1.2345, 1.2345, '2024-01-02 03:04:05.678', '{1.2345}', '{1.2345}', '{1.2345}',
  '[1.5,2.5)', '(1.2345,2)', '(1,"{""(1.2345,2)""}")', '(x)', '("2024-01-02 03:04:05.678")', '(1.2345,2)', 7, '{}', '{[1.5,2.5)}')`;

/** Every column with what is reported about it. */
const NAMED = {
  c_domain: 'public.amount, which is numeric(12,4) on the source, numeric(10,2) on the target',
  c_nested: 'public.amount, which is numeric(12,4)',
  c_moment: 'public.moment, which is timestamp without time zone on the source, date on the target',
  c_modified:
    'public.amounts, which is numeric(12,4)[] on the source, numeric(10,2)[] on the target',
  c_array: 'public.amount, which is numeric(12,4)',
  c_both: 'public.amount, which is numeric(12,4)',
  c_range: 'public.measure, which is numeric on the source, bigint on the target',
  c_pair:
    'attribute a of public.pair, which is numeric(12,4) on the source, numeric(10,2) on the target',
  c_deep: 'attribute a of public.pair, which',
  c_text:
    'attribute tag of public.tagged, which is character varying(9) on the source, character(9) on the target',
  c_attribute: 'public.moment, which is timestamp without time zone',
  c_held: 'attribute a of public.pair, which',
  c_multi: 'public.measure, which is numeric on the source, bigint on the target',
  c_list: 'public.moment, which is timestamp without time zone',
};

async function prepared(db: FreshPair): Promise<Migration> {
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  return migration;
}

test('at every depth a type that rounds or truncates on the target is a difference that names the type and both definitions, and a finding', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(tables(SOURCE));
  await db.targetClient.query(tables(TARGET));
  const source = (await readRelations(db.sourceClient, EVERYTHING)).filter(
    ({ name }) => name === 't',
  );
  const differences = compareColumns(source, await readRelationsNamed(db.targetClient, source));
  expect(Object.fromEntries(differences.map(({ column, what }) => [column, what]))).toEqual(
    Object.fromEntries(
      Object.entries(NAMED).map(([column, what]) => [
        column,
        expect.stringContaining(`uses ${what}`),
      ]),
    ),
  );
  const finding = only(await findingsOf(db), 'target-columns');
  expect(finding.message).toContain(`public.t.c_domain uses ${NAMED.c_domain}`);
  expect(finding.message).toContain('recreate the type and its columns there as on the source');
});

test('a column that is unique by another equality on the target is refused, and another sort order is a warning', async () => {
  await using db = await freshPair();
  const collations = /* sql */ `
    create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create collation de (provider = icu, locale = 'de');`;
  await db.sourceClient.query(/* sql */ `${collations} create domain word as text collate ci;
    create table t (id int primary key, mail text collate ci unique, name text collate de, code text collate "C", w word)`);
  await db.targetClient.query(/* sql */ `${collations} create domain word as text;
    create table t (id int primary key, mail text unique, name text collate de, code text, w word)`);
  const findings = await findingsOf(db);
  const { message } = only(findings, 'target-columns');
  expect(message).toContain(
    'public.t.mail has a nondeterministic collation (public.ci) on the source, a deterministic one (default) on the target',
  );
  expect(message).toContain('public.t.w has a nondeterministic collation');
  const warned = only(findings, 'target-collation').message;
  expect(warned).toMatch(
    /: public\.t\.code has collation C \(libc, C\) on the source, default on the target$/,
  );
  const migration = await prepared(db);
  await using _held = await holding(db, migration);
  await expect(planCopy(migration, inputOf(db), recordedWork())).rejects.toMatchObject({
    code: 'SchemaDrift',
  });
});

test('the plan refuses such types, and no row reaches the target', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(tables(SOURCE) + ROW);
  await db.targetClient.query(tables({ ...SOURCE, moment: 'date' }));
  const migration = await prepared(db);
  await using _held = await holding(db, migration);
  const plan = observed(planCopy(migration, inputOf(db), recordedWork()));
  await expect(plan).rejects.toMatchObject({ code: 'SchemaDrift' });
  await expect(plan).rejects.toThrow('public.t.c_moment uses public.moment, which is timestamp');
  expect((await db.targetClient.query('select from t')).rowCount).toBe(0);
});

test('types with the same definition are copied, also where a domain is on one side only or has another name', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `${tables(SOURCE)} ${ROW};
    create type mixed as (a numeric(12,4), b amounts, c amount[]); create table m (id int primary key, v mixed, w amount);
    insert into m values (1, '(1.2345,{1.2345},{1.2345})', 1.2345)`);
  await db.targetClient.query(/* sql */ `${tables(SOURCE)}
    create domain other as numeric(12,4); drop domain price cascade; drop domain amount cascade; create domain amount as other;
    create domain price as numeric(12,4); create domain prices as amount[];
    drop table t; create table t (id int primary key, c_domain amount, c_nested price, c_moment moment, c_modified amounts,
      c_array amount[], c_both prices, c_range reach, c_pair pair, c_deep "Outer", c_text tagged, c_attribute ticked, c_held held,
      c_equal int, c_list ticked[], c_multi reach_multirange);
    create type mixed as (a other, b numeric(12,4)[], c numeric(12,4)[]); create table m (id int primary key, v mixed, w amount)`);
  expect(codes(await findingsOf(db))).not.toContain('target-columns');
  const migration = await prepared(db);
  await using _held = await holding(db, migration);
  await copyAll(migration, await planCopy(migration, inputOf(db), recordedWork()));
  await expectEqual(db.sourceClient, db.targetClient);
});

const STREAMED = /* sql */ `create domain amount as numeric(12,4); create type pair as (a amount[], b int);
  create table t (id int primary key, v amount, p pair); insert into t values (1, 1.2345, '({1.2345},2)');`;
const NARROWED = /* sql */ `set search_path = public; create domain narrow as numeric(10,2); create type small as (a narrow[], b int);
  alter table t alter v type narrow, alter p type small using row('{1.23}', 2)::small;
  drop type pair; drop domain amount; alter domain narrow rename to amount; alter type small rename to pair;`;
/** As the message says: the type and its columns. */
const WIDENED = /* sql */ `set search_path = public; alter table t drop v, drop p; drop type pair; drop domain amount;
  create domain amount as numeric(12,4); create type pair as (a amount[], b int); alter table t add v amount, add p pair;`;

test.each([
  ['without another difference', ''],
  ['to which the source adds a column', 'alter table t add n int;'],
])(
  'a type replaced on the target while streaming stops before the next change of a table %s, and the table is resynced',
  async (_, ddl) => {
    await using db = await freshPair();
    const migration = await startMigration(db, STREAMED);
    await db.targetClient.query(NARROWED);
    await db.sourceClient.query(/* sql */ `insert into t values (2, 2.3456, null)`);
    if (ddl !== '') await db.sourceClient.query(ddl);
    const failure = await failureOf(db, migration);
    expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.t' } });
    expect(failure?.message).toContain(
      'public.t.v uses public.amount, which is numeric(12,4) on the source, numeric(10,2) on the target',
    );
    expect(failure?.message).toContain('public.t.p uses public.amount');
    expect((await db.targetClient.query('select from t where id = 2')).rowCount).toBe(0);
    await db.targetClient.query(WIDENED + ddl);
    expect((await drainWithCopies(db, migration)).join()).toContain('public.t');
    await expectSame(db);
  },
);

test('a table that partitions go through is compared with them', async () => {
  await using db = await freshPair();
  const tree = (money: string): string => /* sql */ `create domain amount as ${money};
    create table m (id int primary key, v amount[])`;
  await db.sourceClient.query(
    /* sql */ `${tree('numeric(12,4)')} partition by list (id); create table m_1 partition of m for values in (1)`,
  );
  await db.targetClient.query(tree('numeric(10,2)'));
  const input = { tables: { viaPartitionRoot: ['public.m'] } };
  const found = await findingsOf(db, { input });
  expect(codes(found)).toEqual(['partition-root-columns']);
  expect(only(found, 'partition-root-columns').message).toContain(
    'public.m.v uses public.amount, which is numeric(12,4)',
  );
});
