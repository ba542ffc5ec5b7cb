/**
 * Every code that a finding of preflight can have, with the levels that it is given and what it is about. The table of
 * docs/errors.md is made from this, and a check can give no other code.
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
    'The worker does not know the service, or it holds a setting that is not supported.',
  ),
  unreachable: refuses('The server does not answer.'),
  denied: refuses('The server refuses the log-in.'),
  'not-inspected': refuses('The database could not be looked at to the end.'),
  plain: warns('The connection goes over a network and is not encrypted.'),
  unverified: warns('The connection is encrypted, but to whom was not verified.'),
  pooled: refuses('A connection pooler gives the backends of one session to others.'),
  balanced: refuses('Connections to the same service meet different servers.'),
  proxied: warns('Something between worker and server answers for the server.'),
  'session-role': refuses(
    'The login becomes a role that can neither see nor terminate the sessions of the login.',
  ),
  'damage-hidden': refuses('Sessions of the role read damaged pages without an error.'),
  standby: refuses('The server is a standby.'),
  'not-durable': warns(
    'fsync or full_page_writes is off: a crash of the operating system may lose or damage committed rows.',
  ),
  sessions: warns('There may be too few free connections for the copy.'),
  'transaction-age': {
    levels: ['error', 'warning'],
    meaning:
      'Transaction or multixact ids come close to their wraparound; the copy holds vacuum back.',
  },
  'row-security': refuses('Row security hides rows from the role.'),
} as const satisfies Record<string, Entry>;

const ONE = {
  'same-database': refuses('Source and target are the same database.'),
  'source-version': refuses('The source is older than walferry supports.'),
  'whole-tables': warns(
    'The source is older than 14: each table is copied as one chunk, and an interrupted copy of it starts over.',
  ),
  'target-older': warns('The target is an older major version than the source.'),
  encoding: refuses('A database has another encoding than UTF8.'),
  collation: warns('The databases sort text differently.'),
  'collation-version': notes('The same collation comes from different library versions.'),
  'collation-missing': refuses('Columns or indexes use a collation that the target does not have.'),
  'time-zone': warns('Sessions of the two databases have different time zones.'),
  'settings-differ': warns('Sessions of the two databases have different defaults.'),
  'database-settings': notes('Settings of the source database are not moved.'),
  'source-replication-connection': refuses('The source takes no replication connection.'),
  'wal-level': refuses("The source's WAL cannot be decoded."),
  'wal-limit': {
    levels: ['error', 'warning'],
    meaning: 'The source drops a slot that keeps more WAL than its limit; the copy may need more.',
  },
  'wal-expected': notes(
    'How much WAL the copy is expected to keep; free disk is not visible in SQL.',
  ),
  'synchronous-standbys': warns(
    'The source may take the stream for one of its synchronous standbys.',
  ),
  'old-snapshot': {
    levels: ['error', 'warning'],
    meaning:
      'The source cancels queries under old snapshots (old_snapshot_threshold); an error if the copy is expected to take longer.',
  },
  'decoding-memory': notes(
    'Large transactions spill to files on the source; more memory for decoding makes them faster.',
  ),
  'slot-timeout': warns('The source drops slots that are not used for a time.'),
  'plugin-missing': refuses('wal2json is not installed on the source.'),
  'plugin-refused': refuses('The source does not allow wal2json (output_plugin_libraries).'),
  'plugin-options': refuses("The source's wal2json does not take the options that walferry needs."),
  guard: refuses('The guard of the input cannot be measured, or its query gives no single number.'),
  'guard-hidden': refuses('The role may not see what the guard of the input measures.'),
  'guard-exceeded': warns('The guard of the input would hold the copy now.'),
  'guard-no-replica': warns('The guard measures the lag of replicas, and none is connected.'),
  'open-transactions': warns('Open transactions will keep the slot waiting.'),
  'prepared-transactions': warns('Prepared transactions will keep the slot waiting.'),
  'no-free-slot': refuses('All replication slots are taken.'),
  'no-free-sender': refuses('All WAL senders are taken.'),
  'last-sender': warns('One WAL sender is free; a reconnect may need a second one for a moment.'),
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
  'role-missing': refuses('Roles that the schema names do not exist on the target.'),
  'role-not-member': refuses('The role cannot give objects to their owners.'),
  'default-privileges': refuses('The role cannot set the default privileges of other roles.'),
  'target-default-privileges': warns(
    'Default privileges of the target add grants to what is created.',
  ),
  'event-trigger-right': refuses('The role may not create event triggers on the target.'),
  'event-triggers': notes('When event triggers of the source are created on the target.'),
  'login-triggers': warns('Event triggers on login of the source fire for walferry, too.'),
  'event-triggers-left': warns('Event triggers are left out, as the input says.'),
  'target-event-triggers': warns('Event triggers of the target see what walferry creates.'),
  'target-event-trigger-blocks': refuses(
    'Event triggers on the target block statements of walferry (tried and rolled back).',
  ),
  'owner-create': refuses('New owners lack CREATE on the schema of their objects.'),
  'object-refused': refuses('The target refuses objects of the schema (tried and rolled back).'),
  'not-owned': warns(
    'Comments and grants on objects of other roles, or on objects that the target lacks, are left out.',
  ),
  'check-deferred': warns(
    'Constraints that depend on more than their row, or are NOT VALID, are added NOT VALID at the cutover.',
  ),
  'source-lock-table': {
    levels: ['error', 'warning'],
    meaning:
      'pg_dump locks more tables at once than the source has room for, or than it can spare.',
  },
  'schema-untried': {
    levels: ['error', 'warning', 'note'],
    meaning: 'All or part of the schema could not be tried on the target.',
  },
  publications: notes('Publications are not moved.'),
  'security-labels': notes('Security labels are not moved.'),
  subscriptions: warns('Subscriptions are not moved; what they bring is a writer of the source.'),
  'source-own-schema': refuses(
    'The source has a schema "walferry" that walferry did not make; its tables would be left out.',
  ),
  'nothing-selected': refuses('The patterns select no table.'),
  'pattern-unmatched': refuses('A pattern of "tables.include" fits nothing.'),
  'exclude-unmatched': warns('A pattern of "tables.exclude" fits nothing.'),
  'foreign-table': refuses('Foreign tables are selected.'),
  'ignore-unmatched': warns('A pattern in "ignore" matches no selected table.'),
  'unlogged-table': {
    levels: ['error', 'warning'],
    meaning:
      'Unlogged tables are selected: they send no changes; a warning once the input accepts a single copy.',
  },
  'temporary-tables': notes('Temporary tables are not moved.'),
  'large-objects': {
    levels: ['error', 'warning'],
    meaning:
      'The source has large objects, which the stream does not carry; a warning once accepted.',
  },
  'replica-identity': {
    levels: ['error', 'warning'],
    meaning:
      'UPDATE and DELETE of a table cannot be replicated; a warning once the input accepts inserts only.',
  },
  'special-numbers-full': {
    levels: ['error', 'warning'],
    meaning:
      'wal2json 2.5 could match a wrong row: REPLICA IDENTITY FULL, no key, float or numeric columns.',
  },
  'special-numbers': warns(
    'wal2json 2.5 sends NaN and infinities as null; they are read back by key.',
  ),
  'char-byte': refuses(
    'Columns hold "char", and the target is older than 15 and the source not: bytes above 127 would be changed.',
  ),
  'generated-reads': warns(
    'Generated columns call functions that read tables; the target computes them when the rows arrive.',
  ),
  'nullable-child': refuses(
    'Children of inheritance accept nulls where the parent does not, which the target (18 and later) does not allow.',
  ),
  'binary-form': refuses(
    'The input demands a binary copy, and a column has a type without a shared binary form.',
  ),
  'unenforced-constraints': warns(
    'Triggers that enforce constraints are disabled on the source; the target enforces them.',
  ),
  'object-names': {
    levels: ['error', 'warning'],
    meaning:
      'Columns hold names of objects (regclass and its like), which the target looks up; an error where it will lack what they name.',
  },
  'extension-missing': refuses('An extension of the source is not available on the target.'),
  'extension-older': warns('The target has an older version of an extension.'),
  'extension-right': refuses('The role may not create an extension on the target.'),
  'extension-refused': refuses('The target offers an extension and refuses to create it.'),
  'extension-schema': refuses('The target has an extension in another schema.'),
  'extension-left': warns('Extensions are left out, as the input says, and what stands on them.'),
  'extension-needed': refuses('An extension that the input leaves out is needed.'),
  'ignore-object-unmatched': warns('"ignore" names something that the source does not have.'),
  'extension-rows': {
    levels: ['error', 'warning'],
    meaning:
      'Tables of extensions hold rows of the user, which are not moved; a warning once accepted.',
  },
  'extension-members': {
    levels: ['error', 'warning'],
    meaning:
      'Objects were added to an extension that does not create them; a warning once accepted, or if none is a table or sequence.',
  },
  'user-mappings': warns('User mappings whose options the role may not read arrive without them.'),
  'target-clash': refuses('Other objects on the target have the names of objects that are moved.'),
  'target-unlogged': refuses('Tables are unlogged on the target: a crash there would empty them.'),
  'target-rows': refuses('Selected tables on the target hold rows.'),
  'target-columns': refuses(
    'A table of the operator on the target cannot take the rows of the source.',
  ),
  'target-collation': warns(
    'Columns of tables that are on the target already have a collation there that orders text in another way.',
  ),
  'target-schema-rights': warns(
    'A schema that is on the target already has another owner or other grants than on the source.',
  ),
  'target-mixed': refuses('The target has some of the selected tables and not others.'),
  'partition-root-unmatched': refuses(
    'A pattern of "tables.viaPartitionRoot" fits no partitioned table of the selection.',
  ),
  'partition-root-missing': refuses(
    'A table that partitions go through is not on the target, or has no partitions there.',
  ),
  'partition-root-columns': refuses(
    'A table that partitions go through cannot take the rows of the source.',
  ),
  'partition-root-identity': refuses(
    "A partition's replica identity is unique within the partition only, and its rows go through the root.",
  ),
  'partition-root-index': warns(
    'A table that partitions go through has no index by which UPDATE and DELETE find their row.',
  ),
  'partition-key': {
    levels: ['error', 'warning'],
    meaning:
      'The target would route the same rows to different partitions (hash of an enum, text sorted differently); a warning if that is uncertain.',
  },
  'target-other-tables': notes('The target has tables that are not part of the migration.'),
  'target-disk': notes('How much disk the target needs; free disk is not visible in SQL.'),
  'leftover-slot': refuses(
    'An earlier run of this workflow, or this one before it was reset, left its slot.',
  ),
  'other-slot': warns('Other slots of walferry are on the source.'),
  'control-schema': refuses('The target has a schema "walferry" that cannot be used.'),
  'leftover-control': refuses(
    'The target holds the state of another migration, or of this one before it was reset.',
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
