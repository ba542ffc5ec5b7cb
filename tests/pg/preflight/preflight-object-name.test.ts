/** Preflight of columns whose values name objects (regclass and similar types), over real databases. */
import { expect, it } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { codes, findingsOf, loginOn, only } from '../../support/preflight.ts';

const TABLES = /* sql */ `
  create domain part as regclass; create type pair as (a int, b regtype);
  create table plain (id int primary key, o oid, n name, t text);
  create table other (id int primary key);
  create table t (id int primary key, v regclass, d part, list regproc[], p pair, "Role" regrole);
  create index t_v on t (v); create view seen as select id from t; create sequence counted;
  insert into t values (1, 'pg_class', 't', '{now}', '(1,int4)', current_user::regrole), (2, 'seen', 'counted', null, null, null)`;
const COLUMNS =
  'public.t.v (regclass), public.t.d (public.part), public.t.list (regproc[]), public.t.p (public.pair), public.t.Role (regrole)';

it('columns that name objects are reported, also in arrays, domains and composites; objects created before the rows are no error', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(TABLES);
  const findings = await findingsOf(db);
  expect(only(findings, 'object-names')).toMatchObject({ level: 'warning' });
  expect(only(findings, 'object-names').message).toContain(COLUMNS);
});

it('a value that names an index, a TOAST table or an excluded table is refused until the row is changed', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(
    `${TABLES}; insert into t (id, v, d) select 3, 't_v', reltoastrelid::regclass from pg_class where relname = 'plain';
     insert into t (id, v) values (4, 'other'), (5, 't_pkey')`,
  );
  const input = { tables: { exclude: ['public.other'] } };
  const [error, warning, ...more] = (await findingsOf(db, { input })).filter(
    ({ code }) => code === 'object-names',
  );
  expect(more).toEqual([]);
  expect(error?.level).toBe('error');
  expect(error?.message).toContain(
    'public.t.v (regclass): 3 names, public.t.d (public.part): 1 name',
  );
  expect(warning).toMatchObject({ level: 'warning' });
  expect(warning?.message).not.toContain('public.t.v');
  await db.sourceClient.query(/* sql */ `delete from t where id >= 3`);
  expect(only(await findingsOf(db, { input }), 'object-names').level).toBe('warning');
});

it('tables that the role may not read, or that policies filter, are reported without a query of their rows', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(TABLES);
  await using login = await loginOn(db, 'source', 'replication');
  await db.sourceClient.query(/* sql */ `create table hidden (id int primary key, v regclass);
    alter table hidden enable row level security; insert into hidden values (1, 't_v');
    grant select on hidden to ${login.role}`);
  const findings = await findingsOf(db, { source: login.service });
  expect(codes(findings)).toEqual(expect.arrayContaining(['source-select', 'source-row-security']));
  expect(only(findings, 'object-names')).toMatchObject({ level: 'warning' });
  expect(only(findings, 'object-names').message).toContain('public.hidden.v (regclass)');
});

it('tables that exist on the target with their indexes have what such values name', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`${TABLES}; insert into t (id, v) values (3, 't_v')`);
  await db.targetClient.query(`${TABLES}; truncate t`);
  expect(only(await findingsOf(db), 'object-names').level).toBe('warning');
});
