/**
 * The settings of all our sessions: ordinary ones, walsenders, pg_dump. Defaults of a role, a database or a service could otherwise
 * terminate a session, change what a statement does, or print values differently. Settings that require a privilege are not pinned;
 * preflight checks them (read/session.ts).
 */

/** How values are printed and parsed. Both sides agree on it, whatever their defaults are. */
const TEXT: Readonly<Record<string, string>> = {
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  client_encoding: 'UTF8',
  // Off, `{NULL}` would be read as the text "NULL".
  array_nulls: 'on',
  // As `document`, a value that is a fragment would be refused.
  xmloption: 'content',
  standard_conforming_strings: 'on',
  // On, types and names of one side print in quotes and are taken for others.
  quote_all_identifiers: 'off',
  // A name (regclass and its like) prints with its schema: on the other side a short one may be another object's. And no
  // function, operator or table of the database can be taken for one of pg_catalog's.
  search_path: '',
};

/** What would change a result. */
const RESULT: Readonly<Record<string, string>> = {
  // Off means: an error instead of rows that are silently left out by a policy.
  row_security: 'off',
  // Marks, slots and positions count on each other: a target that crashed must not have forgotten what it answered.
  synchronous_commit: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  // A GIN index would give some of the rows only.
  gin_fuzzy_search_limit: '0',
  transform_null_equals: 'off',
  // The WARNING that tells of changes that are left out must come, and debug output must not flood the connection.
  client_min_messages: 'warning',
};

/** What would terminate a session, or let a statement run forever. */
const SURVIVAL: Readonly<Record<string, string>> = {
  exit_on_error: 'off',
  tcp_user_timeout: '0',
  tcp_keepalives_idle: '0',
  tcp_keepalives_interval: '0',
  tcp_keepalives_count: '0',
  // Without TID scans each chunk reads its whole table; without the others a key is looked up by reading a table.
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
  // `on` evaluates check constraints of tables that are only read.
  constraint_exclusion: 'partition',
  vacuum_cost_delay: '0',
  // Catalog queries over very many tables: compiling one takes longer than running it, and a list of all tables that does not fit
  // into memory is searched from its beginning for each table.
  jit: 'off',
  work_mem: '64MB',
};

/** Those that read back as they were set; the TCP settings show what the operating system has. */
export const READABLE: Readonly<Record<string, string>> = { ...TEXT, ...RESULT };

/** Every setting of the list with our value. All of them are known to every server that can be a source or target. */
export const PINNED: Readonly<Record<string, string>> = { ...TEXT, ...RESULT, ...SURVIVAL };

/**
 * The pinned settings that an expression may depend on (a generated column, a check, the function of an index). The target
 * evaluates under its own defaults for them: every text that is pinned on the source is read alike under any value of these
 * (tests/pg/defaults.test.ts). Not so `lc_monetary`, `array_nulls` and `xmloption`, which stay pinned wherever texts are read.
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
 * As the `options` of a start-up. The last of two equal settings counts: what stands before cannot undo ours.
 * @param which `limits`: only what keeps the session alive, so that its defaults can be looked at.
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
 * Settings that some servers do not know, and would refuse a start-up for: set right after it. Without parameters, because a
 * walsender takes the simple protocol only; without operators, because a session that looks at its defaults has the search
 * path of its role; and short, because `transaction_timeout` runs already.
 */
export const PIN_NEWER = /* sql */ `
select pg_catalog.set_config(name, value, false)
  from (values ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('restrict_nonsystem_relation_kind', ''),
               ('force_parallel_mode', 'off'), ('debug_parallel_query', 'off')) as newer (name, value)
 where pg_catalog.current_setting(name, true) is not null`;
