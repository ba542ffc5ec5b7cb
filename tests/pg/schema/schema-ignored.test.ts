/** Extensions and event triggers that the input ignores, with what depends on them. */
import { expect, test } from 'vitest';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { freshPair } from '../../support/database.ts';
import {
  buildRoles,
  dumpLines,
  failure,
  inputOf,
  migrationOf,
  testWork,
} from './schema-fidelity.ts';

const MONITORED = /* sql */ `
  create schema monitoring; create extension pg_stat_statements schema monitoring;
  grant execute on function monitoring.pg_stat_statements_reset(oid, oid, bigint) to fidelity_reader;
  grant select on monitoring.pg_stat_statements to fidelity_reader;
  create table t (id int primary key);
  create function touched() returns event_trigger language plpgsql as 'begin end';
  create event trigger "Audit" on ddl_command_end execute function touched();
  create event trigger other on ddl_command_end execute function touched();
  create view slow as select query from monitoring.pg_stat_statements; comment on view slow is 'x';
  create function slowest() returns setof slow language sql as 'select * from slow';
  create function pg_stat_statements_reset(n int) returns int language sql as 'select n';
  grant execute on function pg_stat_statements_reset(int) to fidelity_reader;`;

test('ignored extensions and event triggers, and what depends on them, are not created; the rest is as on the source', async () => {
  await using db = await freshPair();
  await buildRoles(db.sourceClient, db.targetClient);
  await db.sourceClient.query(MONITORED);
  const migration = migrationOf(db);
  const input = inputOf(db, {
    ignore: { extensions: ['pg_stat_statements'], eventTriggers: ['Audit'] },
  });
  const report = await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  await enableTriggers(migration);
  expect(report.leftOut).toEqual({
    excluded: ['VIEW public.slow', 'FUNCTION public.slowest()'],
    never: [],
    accepted: ['EVENT TRIGGER "Audit"', 'EXTENSION pg_stat_statements'],
    more: 0,
  });
  await db.sourceClient.query(/* sql */ `
    drop function slowest; drop view slow; drop extension pg_stat_statements; drop event trigger "Audit"`);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('an extension that a selected table or another extension needs is not ignored: it is refused with every dependent by name', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create extension hstore; create extension pg_trgm; create extension cube; create extension earthdistance;
    create domain tags as hstore;
    create table by_column (id int primary key, t hstore);
    create table by_domain (id int primary key, t tags[]);
    create table by_parts (id int primary key, w text);
    create index by_class on by_parts using gin (w gin_trgm_ops);
    create function alike(text) returns boolean language sql immutable begin atomic select similarity($1, 'a') > 0; end;
    create policy by_function on by_parts using (alike(w));
    create table not_selected (id int, t hstore)`);
  const left = (...extensions: string[]) =>
    failure(
      copySchema(
        migrationOf(db),
        inputOf(db, { tables: { exclude: ['public.not_selected'] }, ignore: { extensions } }),
        testWork(),
      ),
      'SchemaFailed',
    );
  const { message } = await left('hstore', 'pg_trgm', 'cube');
  for (const part of [
    'TABLE public.by_column needs EXTENSION hstore, which is left out',
    'TABLE public.by_domain needs DOMAIN public.tags, which is left out',
    'INDEX public.by_class needs EXTENSION pg_trgm, which is left out',
    'POLICY public.by_parts by_function needs FUNCTION public.alike(text), which is left out',
    'EXTENSION earthdistance needs EXTENSION cube, which is left out',
  ]) {
    expect(message).toContain(part);
  }
  expect(message).not.toContain('not_selected');
  const { rowCount } = await db.targetClient.query(
    /* sql */ `select from pg_namespace where nspname = 'walferry'`,
  );
  expect(rowCount).toBe(0);
});
