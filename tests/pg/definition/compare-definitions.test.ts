/** The comparison of definitions: one object of every kind that PostgreSQL has, moved, then each kind changed by hand. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationInput } from '../../../contract/input-schema.ts';
import type { Migration } from '../../../contract/migration.ts';
import { compareBack } from '../../../postgres/definition/compare-back.ts';
import { compareDefinitions } from '../../../postgres/definition/compare-definitions.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import { withWayBack } from '../../support/control.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import {
  DROP_SUBSCRIPTION,
  LEFT_BEHIND,
  OBJECT_ROLES,
  OBJECTS,
} from '../schema/object-fidelity.ts';
import { inputOf, migrationOf, testWork } from '../schema/schema-fidelity.ts';

let db: FreshPair;
let migration: Migration;
let input: MigrationInput;
/** What differs, as sentences. */
const compare = async () =>
  (await compareDefinitions(migration, input)).map(({ object, what }) => `${object} ${what}`);

beforeAll(async () => {
  db = await freshPair();
  await db.targetClient.query(OBJECT_ROLES);
  await db.sourceClient.query(OBJECT_ROLES);
  await db.sourceClient.query(OBJECTS);
  await db.sourceClient.query(LEFT_BEHIND);
  migration = migrationOf(db);
  input = inputOf(db);
});

afterAll(async () => {
  await db.sourceClient.query(DROP_SUBSCRIPTION).catch(() => undefined);
  await db[Symbol.asyncDispose]();
});

test('a schema with every kind of object shows no difference at any step of its migration, and none on the way back', async () => {
  await copySchema(migration, input, testWork());
  expect(await compare()).toEqual([]);
  await buildIndexes(migration, input, testWork());
  expect(await compare()).toEqual([]);
  await buildConstraints(migration, input, testWork());
  expect(await compare()).toEqual([]);
  await refreshViews(migration, input, null, testWork());
  expect(await compare()).toEqual([]);
  await enableTriggers(migration);
  expect(await compare()).toEqual([]);
  await withWayBack(db, migration);
  expect(await compareBack(migration, input)).toEqual([]);
});

/** On the target, by kind: what is changed there, and what the comparison says of it. */
const CHANGES: readonly (readonly [sql: string, ...said: string[]])[] = [
  [`alter table obj.child drop column c`, 'obj.child: column c is on the source only'],
  [`alter table obj.audit add column more int`, 'obj.audit: column more is on the target only'],
  [
    `alter table obj."Order. 'x'" alter column "Weird.""Col" type varchar(10)`,
    `obj.Order. 'x': column Weird."Col differs in its type`,
  ],
  [
    `alter table obj.customer alter column valid_from drop default`,
    'obj.customer: default of column valid_from is on the source only',
  ],
  [
    `alter table obj.customer alter column m set default 'a;b'`,
    'obj.customer: default of column m differs',
  ],
  [
    `alter table obj.customer alter column twice drop expression`,
    'obj.customer: generated expression of column twice is on the source only',
  ],
  [
    `alter table obj.customer alter column name drop not null`,
    'obj.customer: NOT NULL of column name is on the source only',
  ],
  [
    'alter table obj.customer alter column other set generated always',
    'obj.customer: identity of column other differs in its form',
  ],
  [
    `alter table obj.customer alter column id set increment 20`,
    'obj.customer: sequence of column id differs',
  ],
  [
    `alter table obj.customer alter column note set storage plain`,
    'obj.customer: storage of column note differs',
  ],
  [
    `alter table obj.customer alter column note set compression default`,
    'obj.customer: compression of column note is on the source only',
  ],
  [
    `alter table obj.customer alter column p set statistics 77`,
    'obj.customer: statistics target of column p is on the target only',
  ],
  [
    `alter table obj.customer alter column other reset (n_distinct)`,
    'obj.customer: option n_distinct of column other is on the source only',
  ],
  [
    `alter table obj.customer set (fillfactor = 80, toast.autovacuum_enabled = true)`,
    'obj.customer: storage parameter fillfactor differs',
    'obj.customer: storage parameter toast.autovacuum_enabled differs',
  ],
  [`alter table obj.cluster_on set unlogged`, 'nothing'],
  [
    `alter table obj.full_identity replica identity default`,
    'obj.full_identity differs in its replica identity',
  ],
  [
    `alter table obj.cluster_on set without cluster`,
    'obj.cluster_on: index cluster_on_b has its CLUSTER ON on the source only',
  ],
  [
    `alter table obj.locked disable row level security`,
    'obj.locked: row security is on the source only',
  ],
  [
    `alter table obj.audit no force row level security`,
    'obj.audit: forced row security is on the source only',
  ],
  [
    'alter table obj.hashed detach partition obj.hashed_1',
    'obj.hashed_1: place under obj.hashed is on the source only',
  ],
  [
    `alter table obj.child no inherit obj.parent`,
    'obj.child: place under obj.parent is on the source only',
  ],
  [`alter table obj.of_type not of`, 'obj.of_type has its row type on the source only'],
  [`drop index obj.brin_placed`, `obj.Order. 'x': index brin_placed is on the source only`],
  [
    `drop index obj.hash_amount; create index hash_amount on obj."Order. 'x'" (amount)`,
    `obj.Order. 'x': index hash_amount differs`,
  ],
  [`create index more on obj.audit (what)`, 'obj.audit: index more is on the target only'],
  [
    `update pg_catalog.pg_index set indisvalid = false where indexrelid = 'obj.spgist_text'::regclass`,
    'obj.customer: index spgist_text is valid on the source, not valid on the target',
  ],
  [
    `alter index obj.customer_lower_m_idx alter column 1 set statistics 457`,
    'obj.customer: index customer_lower_m_idx differs in its statistics target of column 1',
  ],
  [
    `alter table obj."Order. 'x'" drop constraint to_customer`,
    `obj.Order. 'x': constraint to_customer is on the source only`,
  ],
  [
    `alter table obj."Order. 'x'" drop constraint amount_once; alter table obj."Order. 'x'" add constraint amount_once unique (amount, id)`,
    `obj.Order. 'x': constraint amount_once differs`,
    `obj.Order. 'x': constraint amount_once has its enforcement on the source only`,
  ],
  [
    `alter table obj."Order. 'x'" add constraint fresh check (id > 0)`,
    `obj.Order. 'x': constraint fresh is on the target only`,
  ],
  [
    `alter table obj.to_part drop constraint own_parent, add constraint own_parent foreign key (parent) references obj.to_part on delete set null (parent) not valid`,
    'obj.to_part: constraint own_parent is valid on the source, not valid on the target',
  ],
  [
    `alter table obj.to_part disable trigger all`,
    'obj.to_part: constraint full_match is enabled on the source, partly disabled on the target',
    'obj.to_part: constraint own_parent is enabled on the source, disabled on the target',
    'obj.to_part: constraint unchecked is enabled on the source, partly disabled on the target',
    'obj.cluster_on: constraint circle is enabled on the source, partly disabled on the target',
  ],
  [
    `drop trigger statement_level on obj.customer`,
    'obj.customer: trigger statement_level is on the source only',
  ],
  [
    `alter table obj.customer disable trigger plain`,
    'obj.customer: trigger plain is enabled on the source, disabled on the target',
  ],
  [
    `drop rule always_rule on obj.secret; create rule always_rule as on update to obj.secret do also nothing; alter table obj.secret enable always rule always_rule`,
    'obj.secret: rule always_rule differs',
  ],
  [
    `alter table obj.audit enable rule disabled_rule`,
    'obj.audit: rule disabled_rule is disabled on the source, enabled on the target',
  ],
  [`drop policy readers on obj.secret`, 'obj.secret: policy readers is on the source only'],
  [`alter policy limits on obj.secret using (level < 6)`, 'obj.secret: policy limits differs'],
  [`drop event trigger object_ddl`, 'event trigger object_ddl is on the source only'],
  [
    `alter event trigger object_ddl_always disable`,
    'event trigger object_ddl_always is enabled always on the source, disabled on the target',
  ],
  [`alter type obj.mood add value 'new'`, 'type obj.mood differs in its labels'],
  [`alter type obj.nested add attribute more int`, 'type obj.nested differs in its attributes'],
  [
    `alter domain obj.positive drop constraint not_huge`,
    'type obj.positive has its constraint not_huge on the source only',
  ],
  [`alter domain obj.mail drop not null`, 'type obj.mail has its NOT NULL on the source only'],
  [`alter domain obj.positive set default 8`, 'type obj.positive differs in its default'],
  [
    `create or replace function obj.on_ddl() returns event_trigger language plpgsql as 'begin null; end'`,
    'function obj.on_ddl() differs',
  ],
  [`drop procedure obj.run(int)`, 'procedure obj.run(integer) is on the source only'],
  [
    `create or replace aggregate obj.total(int) (sfunc = obj.sum_state, stype = int, initcond = '1', combinefunc = int4pl, parallel = safe)`,
    'aggregate obj.total(integer) differs',
  ],
  [
    `alter operator obj.=== (obj.pair, obj.pair) set (restrict = none)`,
    'operator obj.===(obj.pair,obj.pair) differs',
  ],
  [`drop cast (text as obj.pair)`, 'cast (pg_catalog.text AS obj.pair) is on the source only'],
  [`drop conversion obj.from_latin`, 'conversion obj.from_latin is on the source only'],
  [
    `alter text search configuration obj.search drop mapping for word`,
    'text search configuration obj.search differs',
  ],
  [
    `alter foreign data wrapper obj_wrapper options (set debug 'false')`,
    'foreign-data wrapper obj_wrapper differs',
  ],
  [`alter server obj_server version '2'`, 'server obj_server differs'],
  [`alter sequence obj.lonely increment 5`, 'sequence obj.lonely differs in its definition'],
  [
    `create or replace view obj.some_secret as select id, who, level from obj.secret where level < 4 with cascaded check option`,
    'obj.some_secret differs in its definition',
  ],
  [
    `alter view obj.orders reset (security_barrier)`,
    'obj.orders: storage parameter security_barrier is on the source only',
  ],
  [
    `alter extension pg_trgm set schema obj`,
    'extension pg_trgm differs in its schema',
    'obj.customer: index names_gin differs',
  ],
  [
    `update pg_catalog.pg_extension set extversion = '1.1' where extname = 'pg_trgm'`,
    'extension pg_trgm differs in its version',
  ],
  [`comment on table obj.audit is 'other'`, 'obj.audit has its comment on the target only'],
  [
    `comment on trigger plain on obj.customer is null`,
    'obj.customer: trigger plain has its comment on the source only',
  ],
  [
    `comment on function obj.noop() is 'other'`,
    'function obj.noop() has its comment on the target only',
  ],
  [`alter table obj.hashed owner to object_clerk`, 'obj.hashed differs in its owner'],
  [`alter function obj.touch() owner to object_clerk`, 'function obj.touch() differs in its owner'],
  [
    `grant delete on obj.audit to object_clerk`,
    'obj.audit has its rights of object_clerk on the target only',
  ],
  [
    `grant usage on type obj.mood to object_clerk`,
    'type obj.mood has its rights of object_clerk on the target only',
  ],
];

/** An application gets no error, no other row and no other right by these. */
const HARMLESS = new RegExp(
  [
    ...[
      'column more is on the target only',
      'storage of',
      'compression of',
      'statistics target',
      'option ',
    ],
    ...[
      'storage parameter (fillfactor|toast)',
      'CLUSTER ON',
      'index (?!.*names_unique)',
      'in its version',
    ],
    ...['has its comment', 'rights of object_clerk on the target only'],
  ].join('|'),
);

test('every kind that is changed by hand is found, and the SQL that is named for it makes both sides equal again', async () => {
  const changes = CHANGES.filter(([, said]) => said !== 'nothing');
  for (const [sql] of changes) await db.targetClient.query(sql);
  const found = await compareDefinitions(migration, input);
  const said = changes.flatMap(([, ...sentences]) => sentences);
  expect(found.map(({ object, what }) => `${object} ${what}`).sort()).toEqual([...said].sort());
  expect(
    found.filter(({ wrong }) => wrong === undefined).map(({ object, what }) => `${object} ${what}`),
  ).toEqual(said.filter((one) => HARMLESS.test(one)).sort());
  const wrong: string[] = [];
  const without = found.filter(({ run }) => run === undefined);
  for (const { object, run } of found) {
    // Its catalog row alone was changed.
    if (run === undefined || run.endsWith(' update;')) continue;
    await db.targetClient
      .query(run)
      .catch((error: unknown) => wrong.push(`${object}: ${run}: ${String(error)}`));
  }
  expect(wrong).toEqual([]);
  await db.targetClient.query(
    `update pg_catalog.pg_extension e set extversion = a.default_version from pg_catalog.pg_available_extensions a where a.name = e.extname`,
  );
  expect((await compare()).sort()).toEqual(
    // It went away with the constraint.
    without
      .map(({ object, what }) => `${object} ${what}`)
      .filter((one) => !one.includes('its enforcement on')),
  );
});
