/**
 * The settings of all our sessions: ordinary ones, walsenders, pg_dump. Defaults of a role, a database or a service could
 * otherwise terminate a session, change the result of a statement, or print values differently. Settings that require a privilege
 * are not pinned; preflight checks them (preflight/checks/session-default.ts).
 */

/** How values are printed and parsed: the same on both sides, whatever their defaults. */
const TEXT: Readonly<Record<string, string>> = {
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  client_encoding: 'UTF8',
  // If off, `{NULL}` would be read as the text "NULL".
  array_nulls: 'on',
  // With `document`, a value that is a fragment would be rejected.
  xmloption: 'content',
  standard_conforming_strings: 'on',
  // If on, types and names of one side print in quotes and look like others.
  quote_all_identifiers: 'off',
  // Names (regclass and similar types) print with their schema: on the other side a short name may mean another object. And no
  // function, operator or table of the database can shadow one of pg_catalog.
  search_path: '',
};

/** Settings that would change a result. */
const RESULT: Readonly<Record<string, string>> = {
  // Off: an error instead of rows silently hidden by a policy.
  row_security: 'off',
  // Marks, slots and positions rely on each other: a target must not lose an acknowledged commit in a crash.
  synchronous_commit: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  // A GIN index would return only some of the rows.
  gin_fuzzy_search_limit: '0',
  transform_null_equals: 'off',
  // The fence, which refuses the writes of everybody else, lets our sessions pass (postgres/fence/fence-body.ts).
  'walferry.apply': 'on',
  // The WARNING about omitted changes must arrive, and debug output must not flood the connection.
  client_min_messages: 'warning',
};

/** Settings that would terminate a session, or make a statement run forever. */
const SURVIVAL: Readonly<Record<string, string>> = {
  exit_on_error: 'off',
  tcp_user_timeout: '0',
  // The server detects a lost worker within a minute instead of two hours, and releases its locks and snapshot.
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
  // Without TID scans each chunk reads its whole table; without the others a key lookup does.
  enable_tidscan: 'on',
  enable_indexscan: 'on',
  enable_indexonlyscan: 'on',
  enable_bitmapscan: 'on',
  enable_seqscan: 'on',
  enable_nestloop: 'on',
  enable_hashjoin: 'on',
  enable_mergejoin: 'on',
  enable_hashagg: 'on',
  enable_material: 'on',
  enable_sort: 'on',
  from_collapse_limit: '8',
  join_collapse_limit: '8',
  plan_cache_mode: 'auto',
  // `on` would evaluate check constraints of tables that are only read.
  constraint_exclusion: 'partition',
  vacuum_cost_delay: '0',
  // For catalog queries over very many tables: JIT compilation takes longer than running them, and a list of all tables that does
  // not fit into memory is searched from the start for each table.
  jit: 'off',
  work_mem: '64MB',
};

/** Settings that read back as they were set; the TCP settings show what the operating system uses. */
export const READABLE: Readonly<Record<string, string>> = { ...TEXT, ...RESULT };

/** All pinned settings with our values. Every supported server knows all of them. */
export const PINNED: Readonly<Record<string, string>> = { ...TEXT, ...RESULT, ...SURVIVAL };

/**
 * The pinned settings that an expression may depend on (a generated column, a check, the function of an index). The target
 * evaluates under its own defaults for them: any value of these parses every text printed under the source's pinned settings
 * alike (tests/pg/connection/defaults.test.ts). That is not true of `lc_monetary`, `array_nulls` and `xmloption`, which stay pinned wherever
 * texts are read.
 */
export const EVALUATED = [
  'TimeZone',
  'DateStyle',
  'IntervalStyle',
  'extra_float_digits',
  'bytea_output',
  'standard_conforming_strings',
  'quote_all_identifiers',
  'transform_null_equals',
  'search_path',
] as const;

/** For refreshing materialized views, which reads no text of ours. */
export const EVALUATED_IN_QUERIES = [
  ...EVALUATED,
  'lc_monetary',
  'array_nulls',
  'xmloption',
  'row_security',
] as const;

export interface Timeouts {
  /** Milliseconds; 0, the default, is no limit. */
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  readonly idleInTransactionTimeoutMs?: number;
}

/**
 * The pinned settings as `options` of the startup message. The last of two equal settings wins, so options before these cannot
 * override ours.
 * @param which `limits`: only what keeps the session alive, so that its defaults can be read.
 */
export function startupOptions(timeouts: Timeouts, which: 'all' | 'limits' = 'all'): string {
  const settings = {
    ...(which === 'all' ? PINNED : SURVIVAL),
    statement_timeout: String(timeouts.statementTimeoutMs ?? 0),
    lock_timeout: String(timeouts.lockTimeoutMs ?? 0),
    idle_in_transaction_session_timeout: String(timeouts.idleInTransactionTimeoutMs ?? 0),
  };
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
    .join(' ');
}

/**
 * Settings that some servers do not know and would reject at startup: set right after it. Without parameters, because a walsender
 * supports only the simple protocol; without operators, because a session that reads its defaults uses its role's search path;
 * and short, because `transaction_timeout` is already running.
 */
export const PIN_NEWER = /* sql */ `
select pg_catalog.set_config(name, value, false)
  from (values ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('restrict_nonsystem_relation_kind', ''),
               ('force_parallel_mode', 'off'), ('debug_parallel_query', 'off')) as newer (name, value)
 where pg_catalog.current_setting(name, true) is not null`;
