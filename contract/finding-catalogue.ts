/**
 * Every code of a preflight finding, with its levels and its meaning. docs/reference/findings.md is generated from this,
 * and the types allow checks no other code.
 */
import type { Level } from './finding.ts';

interface Entry {
  readonly levels: readonly Level[];
  readonly meaning: string;
}

const refuses = (meaning: string): Entry => ({ levels: ['error'], meaning });
const warns = (meaning: string): Entry => ({ levels: ['warning'], meaning });
const notes = (meaning: string): Entry => ({ levels: ['note'], meaning });

/** Codes of both sides, without `source-` or `target-` in front. */
const BOTH = {
  service: refuses(
    'The worker does not know the service, or the service has a setting that is not supported.',
  ),
  unreachable: refuses('The server does not answer.'),
  denied: refuses('The server refuses the login.'),
  'not-inspected': refuses('The database could not be inspected completely.'),
  plain: warns('The connection goes over a network and is not encrypted.'),
  unverified: warns("The connection is encrypted, but the server's certificate is not verified."),
  pooled: refuses('A connection pooler shares backends between sessions.'),
  balanced: refuses('Connections to the same service reach different servers.'),
  proxied: warns('A proxy or pooler is between the worker and the server.'),
  'session-role': refuses(
    'The login switches to a role that can neither see nor terminate the sessions of the login.',
  ),
  'damage-hidden': refuses('Settings of the role let it read damaged pages without an error.'),
  standby: refuses('The server is a standby.'),
  'not-durable': warns(
    'fsync or full_page_writes is off: a crash of the operating system may lose or damage committed rows.',
  ),
  sessions: warns('There may be too few free connections for the copy.'),
  'transaction-age': {
    levels: ['error', 'warning'],
    meaning:
      'Transaction or multixact ids are close to wraparound, and the copy holds vacuum back.',
  },
  'row-security': refuses('Row security hides rows from the role.'),
} as const satisfies Record<string, Entry>;

const ONE = {
  'same-database': refuses('Source and target are the same database.'),
  'source-version': refuses('The source is older than walferry supports.'),
  'whole-tables': warns(
    'The source is older than 14: each table is copied as one chunk, and an interrupted one starts over.',
  ),
  'target-older': warns('The target is an older major version than the source.'),
  encoding: refuses('A database has an encoding other than UTF8.'),
  collation: warns('The databases sort text differently.'),
  'collation-version': notes('The same collation has different library versions.'),
  'collation-missing': refuses('Columns or indexes use a collation that the target does not have.'),
  'time-zone': warns('Sessions of the two databases have different time zones.'),
  'settings-differ': warns('Sessions of the two databases have different defaults.'),
  'database-settings': notes('Settings of the source database are not moved.'),
  'source-replication-connection': refuses('The source does not accept a replication connection.'),
  'wal-level': refuses("The source's WAL cannot be decoded."),
  'wal-limit': {
    levels: ['error', 'warning'],
    meaning: 'The source limits the WAL of a slot, and the copy may need more.',
  },
  'wal-expected': notes(
    'How much WAL the source is expected to keep for the copy; SQL cannot show free disk space.',
  ),
  'synchronous-standbys': warns('The source may treat the stream as a synchronous standby.'),
  'old-snapshot': {
    levels: ['error', 'warning'],
    meaning:
      'The source cancels queries with old snapshots (old_snapshot_threshold); an error if the copy is expected to take longer.',
  },
  'decoding-memory': notes(
    'Large transactions spill to disk on the source; more memory for decoding makes them faster.',
  ),
  'slot-timeout': warns(
    'The source invalidates slots that stay idle (idle_replication_slot_timeout).',
  ),
  'plugin-missing': refuses('wal2json is not installed on the source.'),
  'plugin-refused': refuses('The source does not allow wal2json (output_plugin_libraries).'),
  'plugin-options': refuses("The source's wal2json lacks options that walferry needs."),
  guard: refuses(
    'The guard of the input cannot be measured, or its query does not return a single number.',
  ),
  'guard-hidden': refuses('The role may not see what the guard of the input measures.'),
  'guard-exceeded': warns('The guard of the input would hold the copy now.'),
  'guard-no-replica': warns('The guard measures the lag of replicas, but none is connected.'),
  'open-transactions': warns('Creating the slot has to wait for open transactions.'),
  'prepared-transactions': warns('Creating the slot has to wait for prepared transactions.'),
  'no-free-slot': refuses('All replication slots are in use.'),
  'no-free-sender': refuses('All WAL senders are in use.'),
  'last-sender': warns('Only one WAL sender is free; a reconnect may briefly need a second one.'),
  'source-replication': refuses('The role may not create replication slots.'),
  'source-select': refuses('The role may not read selected tables.'),
  'source-select-other': refuses('The role may not read tables that pg_dump locks.'),
  'source-sequence': refuses('The role may not read sequences.'),
  'source-recognition': refuses('The role may not read the system identifier of the server.'),
  'target-recognition': refuses('The role may not read the system identifier of the server.'),
  'target-create': refuses('The role may not create schemas on the target.'),
  'target-schema': refuses('The role may not create objects in existing schemas of the target.'),
  'target-write': refuses('The role may not read and write existing tables of the target.'),
  'target-owner': refuses('The role does not own existing tables of the target.'),
  'replica-role': refuses('The role may not set session_replication_role on the target.'),
  'role-missing': refuses('Roles that the schema refers to do not exist on the target.'),
  'role-not-member': refuses('The role cannot transfer objects to their owners.'),
  'default-privileges': refuses('The role cannot set the default privileges of other roles.'),
  'target-default-privileges': warns('Default privileges of the target add grants to new objects.'),
  'event-trigger-right': refuses('The role may not create event triggers on the target.'),
  'event-triggers': notes('Event triggers of the source are created on the target after the rows.'),
  'login-triggers': warns('Login event triggers of the source also fire for walferry.'),
  'event-triggers-ignored': warns('The input ignores event triggers.'),
  'target-event-triggers': warns("Event triggers of the target fire for walferry's statements."),
  'target-event-trigger-blocks': refuses(
    'Event triggers on the target block statements of walferry (tried and rolled back).',
  ),
  'owner-create': refuses('New owners lack CREATE on the schema of their objects.'),
  'object-refused': refuses('The target refuses objects of the schema (tried and rolled back).'),
  'not-owned': warns(
    'Comments and grants on objects of other roles, or on objects missing on the target, are not moved.',
  ),
  'check-deferred': warns(
    'Constraints that read more than their row, or are NOT VALID, are added NOT VALID at the cutover.',
  ),
  'source-lock-table': {
    levels: ['error', 'warning'],
    meaning:
      "pg_dump needs more locks at once than the source's lock table has, or more than half of them.",
  },
  'schema-untried': {
    levels: ['error', 'warning', 'note'],
    meaning: 'All or part of the schema could not be tried on the target.',
  },
  publications: notes('Publications are not moved.'),
  'security-labels': notes('Security labels are not moved.'),
  subscriptions: warns('Subscriptions are not moved; they also write to the source.'),
  'source-own-schema': refuses(
    'The source has a schema "walferry" that walferry did not create; its tables would not be moved.',
  ),
  'nothing-selected': refuses('The patterns select no table.'),
  'pattern-unmatched': refuses('A pattern in "tables.include" matches no table.'),
  'exclude-unmatched': warns('A pattern in "tables.exclude" matches nothing.'),
  'foreign-table': refuses('Foreign tables are selected.'),
  'ignore-unmatched': warns('A pattern in "ignore" matches no selected table.'),
  'unlogged-table': {
    levels: ['error', 'warning'],
    meaning:
      'Unlogged tables are selected, whose changes are not in the WAL; a warning if the input accepts a single copy.',
  },
  'temporary-tables': notes('Temporary tables are not moved.'),
  'large-objects': {
    levels: ['error', 'warning'],
    meaning:
      'The source has large objects, which logical decoding does not replicate; a warning if the input ignores them.',
  },
  'replica-identity': {
    levels: ['error', 'warning'],
    meaning:
      'UPDATE and DELETE of a table cannot be replicated; a warning if the input accepts inserts only.',
  },
  'non-finite-numbers-full': {
    levels: ['error', 'warning'],
    meaning:
      'With wal2json before 2.6, changes could match a wrong row: REPLICA IDENTITY FULL, no key, float or numeric columns.',
  },
  'non-finite-numbers': warns(
    'wal2json before 2.6 sends NaN and infinities as null; their values are read from the source by key.',
  ),
  'char-byte': refuses(
    'Columns have type "char", and only the target is older than 15: bytes above 127 would change.',
  ),
  'generated-reads': warns(
    'Generated columns call functions that read tables; the target computes their values when the rows arrive.',
  ),
  'nullable-child': refuses(
    'Inheritance children allow nulls where the parent does not, which the target (18 and later) refuses.',
  ),
  'binary-form': refuses(
    'The input requires a binary copy, but a column type has no binary format that both servers share.',
  ),
  'unenforced-constraints': warns(
    'Triggers that enforce constraints are disabled on the source; the target enforces the constraints.',
  ),
  'object-names': {
    levels: ['error', 'warning'],
    meaning:
      'Columns hold object names (regclass and similar types), which the target resolves; an error if those objects will be missing there.',
  },
  'extension-missing': refuses('An extension of the source is not available on the target.'),
  'extension-older': warns('The target has an older version of an extension.'),
  'extension-right': refuses('The role may not create an extension on the target.'),
  'extension-refused': refuses('An extension is available on the target, but creating it fails.'),
  'extension-schema': refuses('The target has an extension in another schema.'),
  'extension-ignored': warns(
    'The input ignores extensions; objects that depend on them are not moved.',
  ),
  'extension-needed': refuses('The input ignores an extension that moved objects need.'),
  'ignore-object-unmatched': warns('"ignore" names something that the source does not have.'),
  'extension-rows': {
    levels: ['error', 'warning'],
    meaning:
      'Tables of extensions hold user data, which is not moved; a warning if the input ignores it.',
  },
  'extension-members': {
    levels: ['error', 'warning'],
    meaning:
      'Objects were added to an extension that does not create them; a warning if the input ignores them, or if none is a table or sequence.',
  },
  'user-mappings': warns(
    'User mappings are created without their options if the role may not read them.',
  ),
  'target-clash': refuses('Objects on the target have the same names as objects that are moved.'),
  'target-unlogged': refuses('Tables are unlogged on the target: a crash there would empty them.'),
  'target-rows': refuses('Selected tables on the target hold rows.'),
  'target-columns': refuses('An existing table on the target cannot take the rows of the source.'),
  'target-collation': warns(
    'Columns of existing tables on the target have a collation that sorts text differently.',
  ),
  'target-schema-rights': warns(
    'An existing schema on the target has another owner or other grants than on the source.',
  ),
  'target-mixed': refuses('The target has some of the selected tables but not all.'),
  'partition-root-unmatched': refuses(
    'A pattern in "tables.viaPartitionRoot" matches no selected partitioned table.',
  ),
  'partition-root-missing': refuses(
    'A root of "tables.viaPartitionRoot" is missing on the target, or has no partitions there.',
  ),
  'partition-root-columns': refuses(
    'A root of "tables.viaPartitionRoot" cannot take the rows of the source.',
  ),
  'partition-root-identity': refuses(
    "A partition's replica identity is unique within the partition only, but its rows go through the root.",
  ),
  'partition-root-index': warns(
    'A root of "tables.viaPartitionRoot" has no index by which UPDATE and DELETE find their row.',
  ),
  'partition-key': {
    levels: ['error', 'warning'],
    meaning:
      'The target would put the same rows into different partitions (hash of an enum, text sorted differently); a warning if that is uncertain.',
  },
  'target-other-tables': notes('The target has tables that are not part of the migration.'),
  'target-disk': notes('How much disk space the target needs; SQL cannot show free disk space.'),
  'leftover-slot': refuses(
    'An earlier run of this workflow, or this run before a reset, left its slot on the source.',
  ),
  'other-slot': warns('The source has other slots of walferry.'),
  'control-schema': refuses('The target has a schema "walferry" that cannot be used.'),
  'leftover-control': refuses(
    'The target holds the state of another migration, or of this one before a reset.',
  ),
  'program-missing': refuses('The worker lacks a client program.'),
  'program-older': refuses("A client program of the worker is older than the source's server."),
} as const satisfies Record<string, Entry>;

export type FindingCode = keyof typeof ONE | `${'source' | 'target'}-${keyof typeof BOTH}`;

/** Code, levels and meaning, in the order of the documentation. */
export function catalogue(): (Entry & { readonly code: string })[] {
  const both = Object.entries<Entry>(BOTH).flatMap(([code, entry]) =>
    (['source', 'target'] as const).map((side) => ({ code: `${side}-${code}`, ...entry })),
  );
  return [...both, ...Object.entries<Entry>(ONE).map(([code, entry]) => ({ code, ...entry }))];
}
