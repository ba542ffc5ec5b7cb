/** Defaults of roles and databases that would terminate our sessions or change their behavior do not affect a migration. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';
import pg from 'pg';
import { PINNED, PIN_NEWER } from '../../../postgres/connection/pinned.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { freshPair } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { findingsOf, loginOn } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';
import { serverOf } from '../../support/versions.ts';

/** Settings with a harmful value. Those that a server does not know, or that we may not set, are skipped. */
const HARMFUL: Readonly<Record<string, string>> = {
  statement_timeout: '100ms',
  lock_timeout: '1ms',
  idle_in_transaction_session_timeout: '20ms',
  idle_session_timeout: '1s',
  transaction_timeout: '300ms',
  exit_on_error: 'on',
  tcp_user_timeout: '1ms',
  tcp_keepalives_idle: '1',
  tcp_keepalives_interval: '1',
  tcp_keepalives_count: '1',
  default_transaction_read_only: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  client_min_messages: 'error',
  client_encoding: 'LATIN1',
  DateStyle: 'German',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Kolkata',
  extra_float_digits: '-15',
  bytea_output: 'escape',
  xmlbinary: 'hex',
  xmloption: 'document',
  array_nulls: 'off',
  lc_messages: 'C',
  quote_all_identifiers: 'on',
  standard_conforming_strings: 'off',
  escape_string_warning: 'on',
  backslash_quote: 'off',
  transform_null_equals: 'on',
  row_security: 'on',
  synchronous_commit: 'off',
  synchronize_seqscans: 'on',
  gin_fuzzy_search_limit: '1',
  check_function_bodies: 'on',
  restrict_nonsystem_relation_kind: 'view',
  plan_cache_mode: 'force_generic_plan',
  constraint_exclusion: 'on',
  from_collapse_limit: '1',
  join_collapse_limit: '1',
  vacuum_cost_delay: '100ms',
  work_mem: '64kB',
  logical_decoding_work_mem: '64kB',
  default_statistics_target: '1',
  wal_sender_timeout: '0',
  client_connection_check_interval: '0',
  enable_seqscan: 'off',
  enable_tidscan: 'off',
  enable_indexscan: 'off',
  enable_bitmapscan: 'off',
  enable_nestloop: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_sort: 'off',
  enable_hashagg: 'off',
  debug_parallel_query: 'on',
  force_parallel_mode: 'on',
  default_text_search_config: 'pg_catalog.german',
  lo_compat_privileges: 'on',
  'plpgsql.extra_errors': 'all',
};

const SCHEMA = /* sql */ `
  create type public.mood as enum ('good', 'bad');
  create domain public.named as text check (value <> '');
  create table public.item (id int primary key, d timestamptz, f float8, i interval, b bytea, l text[], m public.mood, n public.named,
    r regclass, up text generated always as (upper(n)) stored, j jsonb);
  create index on public.item using gin (j); create index on public.item (lower(n)) where f > 0;
  create domain public.ratio as float8;
  create table public.loose (v public.ratio, t text, l text[]); alter table public.loose replica identity full;
  create table public.big (id int primary key, v text) ;
  create table public.child (id serial primary key, item int references public.item);
  create view public.seen as select id from public.item; create materialized view public.kept as select count(*) as n from public.seen;
  insert into public.item (id, d, f, i, b, l, m, n, r, j)
    select i, '2024-01-01 00:00+00', i / 3.0, '1 mon -1 day', '\\x00ff', '{NULL,"NULL"}', 'bad', 'x', 'public.item', '{"a": 1}'
    from generate_series(1, 500) i;
  insert into public.loose select i / 3.0, 'a\\b', '{NULL}' from generate_series(1, 100) i;
  insert into public.child (item) select i from generate_series(1, 100) i;`;

/** @param many rows of one transaction: on 17 its decoding has to take longer than the transaction_timeout. */
const changes = (many: number) => /* sql */ `
  insert into public.item (id, d, f, i, b, l, m, n, r, j) select id + 1000, d, f, i, b, l, m, n, r, j from public.item;
  update public.item set f = f + 1, d = d + interval '1 day' where id % 2 = 0; delete from public.item where id = 1001;
  update public.loose set t = 'b' where v > 20; delete from public.loose where v < 5;
  insert into public.big select i, repeat('x', 20) from generate_series(1, ${many}) i`;

/** Applies the settings that the server accepts to the role, the database, and both together. */
async function applySettings(client: pg.Client, role: string, database: string): Promise<string[]> {
  const set: string[] = [];
  for (const [name, value] of Object.entries(HARMFUL)) {
    const to = `set ${name} = ${pg.escapeLiteral(value)}`;
    try {
      await client.query(`alter role ${role} ${to}`);
      await client.query(`alter database ${database} ${to}`);
      await client.query(`alter role ${role} in database ${database} ${to}`);
      set.push(name);
    } catch (error) {
      // Unknown to this version.
      if (!(error instanceof pg.DatabaseError) || error.code !== '42704') throw error;
    }
  }
  return set;
}

async function command(...words: string[]): Promise<string> {
  const file = path.resolve(import.meta.dirname, '../../../scripts/program.ts');
  return new Promise((resolve, reject) => {
    execFile(process.execPath, ['--import', 'tsx', file, ...words], (error, out, err) =>
      error ? reject(new Error(out + err)) : resolve(out),
    );
  });
}

/** It would affect the test's own sessions as well. */
async function resetSettings(client: pg.Client, role: string, database: string): Promise<void> {
  await client.query(`alter role ${role} reset all`);
  await client.query(`alter role ${role} in database ${database} reset all`);
  await client.query(`alter database ${database} reset all`);
}

/** Every login sets the same for its session, which undoes what an options string set at the start. */
async function applyAtLogin(client: pg.Client, schema: string): Promise<void> {
  const known = await client.query<{ name: string }>(
    /* sql */ `select w.name from unnest($1::text[]) w (name) where current_setting(w.name, true) is not null`,
    // pg_dump cannot be protected from those.
    [Object.keys(HARMFUL).filter((name) => !name.startsWith('tcp_'))],
  );
  const sets = known.rows
    .map(({ name }) => {
      const value = pg.escapeLiteral(HARMFUL[name] ?? '');
      return `perform pg_catalog.set_config(${pg.escapeLiteral(name)}, ${value}, false);`;
    })
    .join(' ');
  await client.query(/* sql */ `
    create schema ${schema};
    create function ${schema}.greet() returns event_trigger language plpgsql as $$ begin ${sets} end $$;
    create event trigger greet_${schema} on login execute function ${schema}.greet();
    alter event trigger greet_${schema} enable always`);
}

async function migrates(db: FreshPair, many: number): Promise<void> {
  await using source = await loginOn(db, 'source', 'superuser');
  await using target = await loginOn(db, 'target', 'superuser');
  await db.sourceClient.query(SCHEMA);
  const set = await applySettings(db.sourceClient, source.role, db.source);
  await applySettings(db.targetClient, target.role, db.target);
  try {
    expect(set.length).toBeGreaterThan(45);
    await migrateAll(db, source.service, target.service, many);
  } finally {
    await resetSettings(db.sourceClient, source.role, db.source);
    await resetSettings(db.targetClient, target.role, db.target);
  }
}

async function migrateAll(
  db: FreshPair,
  source: string,
  target: string,
  many: number,
): Promise<void> {
  const findings = await findingsOf(db, { source, target });
  expect(findings.filter(({ level }) => level === 'error')).toEqual([]);
  await using steps = new Steps(source, target, { copy: { chunkMegabytes: 1 } });
  await steps.copy();
  await steps.indexes();
  await db.sourceClient.query(changes(many));
  await steps.cutover();
  await db.sourceClient.query('refresh materialized view public.kept');
  await expectEqual(db.sourceClient, db.targetClient);
  const { rows } = await db.targetClient.query('select n from public.kept');
  expect(rows).toEqual([{ n: '999' }]);
  expect(await command('compare', source, target)).toContain('equal: 5 tables');
  expect(await command('cleanup', source, target)).toContain('control schema');
}

it('hostile settings of a role and a database do not affect migration, preflight, compare or cleanup', async () => {
  await using db = await freshPair();
  await migrates(db, 1_000);
});

/** What a schema before pg_catalog can hide: its callers fail or get nothing. */
const SHADOWS = /* sql */ `
  create schema evil;
  create function evil.fail() returns text language plpgsql immutable as $$ begin raise exception 'hidden'; end $$;
  create function evil.md5(text) returns text language sql as $$ select evil.fail() $$;
  create function evil.format(text, text, text) returns text language sql as $$ select evil.fail() $$;
  create function evil.format(text, name, name) returns text language sql as $$ select evil.fail() $$;
  create function evil.to_regclass(text) returns regclass language sql as $$ select null::regclass $$;
  create function evil.current_setting(text) returns text language sql as $$ select evil.fail() $$;
  create function evil.set_config(text, text, boolean) returns text language sql as $$ select evil.fail() $$;
  create function evil.pg_backend_pid() returns int language sql as $$ select 0 $$;
  create function evil.current_database() returns name language sql as $$ select 'x'::name $$;
  create function evil.pg_current_xact_id() returns xid8 language sql as $$ select '3'::xid8 $$;
  create function evil.quote_ident(text) returns text language sql as $$ select evil.fail() $$;
  create function evil.now() returns timestamptz language sql as $$ select 'infinity'::timestamptz $$;
  create function evil.fail(text, text) returns boolean language sql as $$ select evil.fail() = '' $$;
  create function evil.fail(name, name) returns boolean language sql as $$ select evil.fail() = '' $$;
  create function evil.fail(name, text) returns boolean language sql as $$ select evil.fail() = '' $$;
  create function evil.fail(oid, oid) returns boolean language sql as $$ select evil.fail() = '' $$;
  create function evil.fail(int, int) returns boolean language sql as $$ select evil.fail() = '' $$;
  create operator evil.= (leftarg = text, rightarg = text, function = evil.fail);
  create operator evil.= (leftarg = name, rightarg = name, function = evil.fail);
  create operator evil.= (leftarg = name, rightarg = text, function = evil.fail);
  create operator evil.= (leftarg = oid, rightarg = oid, function = evil.fail);
  create operator evil.= (leftarg = int, rightarg = int, function = evil.fail);
  create operator evil.<> (leftarg = text, rightarg = text, function = evil.fail);
  create aggregate evil.count(*) (sfunc = pg_catalog.int8dec, stype = bigint, initcond = '0');
  create view evil.pg_class as select 1::oid as oid, 'x'::name as relname; create view evil.pg_locks as select 1 as pid;
  create view evil.migration as select 'x'::text as id;
  create type evil.lsn as (a int);`;

it('functions, operators and tables that shadow pg_catalog on the search path of the role are not used', async () => {
  await using db = await freshPair();
  await using source = await loginOn(db, 'source', 'superuser');
  await using target = await loginOn(db, 'target', 'superuser');
  await db.sourceClient.query(SCHEMA);
  for (const [client, { role }, database, schema] of [
    [db.sourceClient, source, db.source, 'evil'],
    // What is created on the target must not exist there yet.
    [db.targetClient, target, db.target, 'spite'],
  ] as const) {
    await client.query(SHADOWS.replaceAll('evil', schema));
    await client.query(`alter role ${role} set search_path = ${schema}, pg_catalog`);
    await client.query(
      `alter role ${role} in database ${database} set search_path = ${schema}, pg_catalog`,
    );
  }
  await migrateAll(db, source.service, target.service, 100);
});

const other = findOther(17);

it.skipIf(!other)(
  'hostile settings that version 17 introduced, such as transaction_timeout, do not affect them either',
  async () => {
    if (!other) return;
    await using server = await serverOf('source', other);
    await using db = await freshPair({ source: server, target: server });
    const before = process.env['PATH'];
    process.env['PATH'] = [other.folder, before ?? ''].join(path.delimiter);
    try {
      await migrates(db, 150_000);
    } finally {
      process.env['PATH'] = before;
    }
  },
);

it.skipIf(!other)(
  'settings that an event trigger on login makes for every session do not affect them either',
  async () => {
    if (!other) return;
    await using server = await serverOf('source', other);
    await using db = await freshPair({ source: server, target: server });
    await using source = await loginOn(db, 'source', 'superuser');
    await using target = await loginOn(db, 'target', 'superuser');
    const sides = [db.sourceClient, db.targetClient];
    const before = process.env['PATH'];
    process.env['PATH'] = [other.folder, before ?? ''].join(path.delimiter);
    try {
      await db.sourceClient.query(SCHEMA);
      await applyAtLogin(db.sourceClient, 'here');
      await applyAtLogin(db.targetClient, 'there');
      await migrateAll(db, source.service, target.service, 1_000);
    } finally {
      process.env['PATH'] = before;
      // It would affect the test's own sessions as well.
      for (const client of sides) {
        await client.query(/* sql */ `
        drop event trigger if exists greet_here; drop event trigger if exists greet_there`);
      }
    }
  },
);

/** Reviewed individually: they change costs, logs and files, or end a statement with an error that says so. */
const REVIEWED = `
  allow_in_place_tablespaces allow_system_table_mods application_name backend_flush_after backslash_quote
  backtrace_functions check_function_bodies commit_delay commit_siblings  compute_query_id cpu_index_tuple_cost
  cpu_operator_cost cpu_tuple_cost createrole_self_grant cursor_tuple_fraction deadlock_timeout debug_discard_caches
  debug_logical_replication_streaming debug_pretty_print debug_print_parse debug_print_plan debug_print_rewritten
  default_statistics_target default_table_access_method default_tablespace default_text_search_config
  default_toast_compression dynamic_library_path effective_cache_size effective_io_concurrency enable_async_append
  enable_gathermerge enable_group_by_reordering enable_incremental_sort enable_memoize enable_parallel_append
  enable_parallel_hash enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join
  enable_presorted_aggregate escape_string_warning event_triggers extension_destdir geqo geqo_effort geqo_generations
  geqo_pool_size geqo_seed geqo_selection_bias geqo_threshold gin_pending_list_limit hash_mem_multiplier
  icu_validation_level io_combine_limit jit jit_above_cost jit_dump_bitcode jit_expressions jit_inline_above_cost
  jit_optimize_above_cost jit_tuple_deforming lc_messages lc_numeric lc_time lo_compat_privileges
  local_preload_libraries log_duration log_error_verbosity log_executor_stats log_lock_waits log_min_duration_sample
  log_min_duration_statement log_min_error_statement log_min_messages log_parameter_max_length
  log_parameter_max_length_on_error log_parser_stats log_planner_stats log_replication_commands log_statement
  log_statement_sample_rate log_statement_stats log_temp_files log_transaction_sample_rate logical_decoding_work_mem
  maintenance_io_concurrency maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers
  max_parallel_workers_per_gather max_stack_depth min_parallel_index_scan_size min_parallel_table_scan_size
  output_plugin_libraries parallel_leader_participation parallel_setup_cost parallel_tuple_cost password_encryption
  random_page_cost recursive_worktable_factor scram_iterations seq_page_cost session_preload_libraries
  session_replication_role stats_fetch_consistency synchronize_seqscans temp_buffers temp_file_limit temp_tablespaces
  timezone_abbreviations trace_notify trace_sort track_activities track_counts track_functions track_io_timing
  track_wal_io_timing transaction_deferrable transaction_isolation transaction_read_only update_process_title
  vacuum_buffer_usage_limit vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit vacuum_cost_page_miss
  vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age vacuum_multixact_failsafe_age
  vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age wal_compression wal_consistency_checking
  wal_init_zero wal_recycle wal_sender_timeout wal_skip_threshold work_mem xmlbinary`;
/** Set per session as needed, or only by a superuser and checked by preflight. */
const ELSEWHERE = `statement_timeout lock_timeout idle_in_transaction_session_timeout client_connection_check_interval
  zero_damaged_pages ignore_checksum_failure composite_type_mismatch`;

it('every setting that a role or database may have is pinned or reviewed', async () => {
  await using db = await freshPair();
  await using server = other ? await serverOf('source', other) : null;
  const known = new Set([
    ...Object.keys(PINNED),
    ...(`${REVIEWED} ${ELSEWHERE} ${PIN_NEWER}`.match(/[A-Za-z_]+/g) ?? []),
  ]);
  const sql = /* sql */ `select name from pg_settings where context in ('user', 'superuser') and name !~ '[.]'`;
  const names = (await db.sourceClient.query<{ name: string }>(sql)).rows;
  const newer = await server?.query('postgres', (client) => client.query<{ name: string }>(sql));
  const unknown = [...names, ...(newer?.rows ?? [])]
    .map(({ name }) => name)
    .filter((name) => !known.has(name));
  expect(unknown).toEqual([]);
});
