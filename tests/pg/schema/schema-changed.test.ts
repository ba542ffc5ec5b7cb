/** DDL that an operator runs on both sides after the schema is copied does not stop the later schema steps. */
import { expect, test } from 'vitest';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { dumpLines, failure, inputOf, migrationOf, testWork } from './schema-fidelity.ts';

const SCHEMA = /* sql */ `
  create schema app; set search_path = app;
  create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
  create table kept (id int primary key);
  create table gone (id int primary key, v int unique, k int references kept); create index gone_v on gone (v);
  comment on index gone_v is 'of gone'; create trigger gone_t before insert on gone for each row execute function touch();
  alter table gone enable row level security; create policy gone_p on gone using (v > 0);
  create table t (id int primary key, v int, k int, c text, keep int references kept, self int references t);
  create index t_v on t (v); create index t_v2 on t (v) where v > 1; create unique index t_c on t (c); alter table t cluster on t_v;
  create index t_k on t (k); create index t_ck on t (c, k); comment on index t_c is 'of t';
  create statistics t_s on v, c from t; comment on statistics t_s is 'of t';
  create statistics t_sk on k, c from t;
  create trigger t_t before update of c on t for each row when (old.c is distinct from new.c) execute function touch();
  alter table t enable always trigger t_t; comment on trigger t_t on t is 'of t';
  create rule t_r as on delete to t where old.v < 0 do instead nothing;
  alter table t enable row level security; create policy t_p on t for update to public using (v > 0) with check (c <> '');
  create table root (id int, v int, primary key (id)) partition by range (id);
  create table leaf partition of root for values from (0) to (9); create index root_v on root (v);
  create table owns (id int primary key, t int references t)`;

/** Copies the schema, runs the DDL on both sides, and then every step that follows the rows. */
async function changed(db: FreshPair, ddl: string, rows = '', only = ''): Promise<string[]> {
  await db.sourceClient.query(SCHEMA);
  const [migration, input, work] = [migrationOf(db), inputOf(db), testWork()];
  await copySchema(migration, input, work);
  await db.targetClient.query(rows);
  await db.sourceClient.query(ddl + only);
  await db.targetClient.query(`set search_path = app; ${ddl}; reset search_path`);
  await buildIndexes(migration, input, work);
  await buildConstraints(migration, input, work);
  await enableTriggers(migration);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
  const { rows: open } = await db.targetClient.query(
    `select kind, name from walferry.schema_entry where done_at is null`,
  );
  expect(open).toEqual([]);
  const { rows: left } = await db.targetClient.query<{ object: string }>(
    `select object from walferry.left_out where object like '%(the source has dropped it since)' order by 1`,
  );
  return left.map(({ object }) => object.replace(' (the source has dropped it since)', ''));
}

test('when a table is dropped on both sides, what was to be built on it is skipped, and the rest is built', async () => {
  await using db = await freshPair();
  const left = await changed(db, `drop table app.gone`);
  expect(left).toContain('INDEX app.gone_v');
  expect(left).toContain('FK CONSTRAINT gone_k_fkey on app.gone');
  expect(left.filter((name) => !name.includes('gone'))).toEqual([]);
});

test('indexes, keys, statistics, triggers, rules, policies and comments are built on a table that is renamed on both sides', async () => {
  await using db = await freshPair();
  const ddl = `alter table app.t rename to "T 2"; alter table app.kept set schema public; alter table app.leaf rename to leaf_1`;
  expect(await changed(db, ddl)).toEqual([]);
});

test('objects that depend on a column that is dropped on both sides are skipped', async () => {
  await using db = await freshPair();
  const left = await changed(db, `alter table app.t drop column k`);
  expect(left).toEqual(['INDEX app.t_ck', 'INDEX app.t_k', 'STATISTICS app.t_sk']);
});

test('objects that depend on a column that is renamed on both sides are built', async () => {
  await using db = await freshPair();
  const ddl = `alter table app.t rename c to "c 2"; alter table app.t rename v to v2; alter table app.t rename k to k2;
    alter table app.t rename keep to keep2`;
  expect(await changed(db, ddl)).toEqual([]);
});

test('a unique index or foreign key that rows violate is skipped when the source has dropped it since', async () => {
  await using db = await freshPair();
  const left = await changed(
    db,
    `select`,
    `insert into app.t (id, c) values (1, 'x'), (2, 'x'); insert into app.owns values (1, 7)`,
    `; drop index app.t_c; alter table app.owns drop constraint owns_t_fkey`,
  );
  expect(left).toEqual(['FK CONSTRAINT owns_t_fkey on app.owns', 'INDEX app.t_c']);
});

test('a name that is gone only on the target stops the build, and the error says how to continue', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(`create table t (id int, n int); create index t_n on t (n)`);
  const [migration, input] = [migrationOf(db), inputOf(db)];
  await copySchema(migration, input, testWork());
  await db.targetClient.query(`alter table t rename n to m`);
  const error = await failure(buildIndexes(migration, input, testWork()), 'SchemaFailed');
  expect(error.message).toContain('INDEX public.t_n of public.t could not be built');
  const [statement = ''] = /update walferry\.schema_entry [^;]*;/.exec(error.message) ?? [];
  await db.targetClient.query(statement);
  await buildIndexes(migration, input, testWork());
});
