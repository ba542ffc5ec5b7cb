/**
 * Every way in which walferry refuses or stops, and what follows from it. One table decides about retries:
 * activities derive `nonRetryable` from it, the workflow decides with it whether to wait and for whom.
 *
 * `timed`     Temporal retries the same activity, for as long as it takes.
 * `operator`  a person has to act: before the copy the migration fails, from then on it waits for `resume`.
 * `pass`      the copy handles it: the next pass copies the remaining chunks under the next snapshot.
 * `never`     the migration ends (bad input, findings of preflight).
 */
import { CUTOVER_FAILURES } from './cutover-failure.ts';

export type Handling = 'timed' | 'operator' | 'pass' | 'never';

interface Entry {
  readonly handling: Handling;
  /** What it means, in one sentence, for the error table of the documentation. */
  readonly meaning: string;
  /** What the operator does now. */
  readonly action: string;
}

/** What remains when a migration ends after rows were copied, and what to do with it: the same words in every message. */
export const LEFT_ON_TARGET =
  'complete or not, with the types, functions, sequences and views created for them; before starting again drop all of these, or recreate the target database';

/** First words of a failure after the point of no return: the target is ready, and only cleanup remains. */
export const MIGRATION_COMPLETE = 'the migration is complete, but cleanup is not';

export const FAILURES = {
  InvalidInput: {
    handling: 'never',
    meaning:
      'The workflow input does not fit the schema, or the workflow was started with a timeout.',
    action: 'Correct the named field or option and start again.',
  },
  UnknownService: {
    handling: 'operator',
    meaning: 'The worker finds no PostgreSQL service with that name.',
    action:
      'Add the service to the file named in the message, on every worker, and start again or resume.',
  },
  InvalidService: {
    handling: 'operator',
    meaning: 'A service file contains a setting that is not supported or out of range.',
    action: 'Correct the named setting in the service file, and start again or resume.',
  },
  WrongServer: {
    handling: 'operator',
    meaning:
      "A worker's service points to a different server or database than the one that the migration started with.",
    action:
      'Correct the service (file, DNS, proxy) on the worker that the failure names, then resume. Nothing was read from or written to the wrong server.',
  },
  Preflight: {
    handling: 'never',
    meaning: 'Preflight found something that would make the migration fail or lose data.',
    action: 'Do what each finding says, then start again.',
  },
  Unreachable: {
    handling: 'timed',
    meaning: 'A database does not answer or closed the connection.',
    action: 'Nothing, if it comes back on its own; otherwise check the server and the network.',
  },
  Contention: {
    handling: 'timed',
    meaning:
      'A serialization failure, a deadlock, a lock that was not granted in time, no free connection, or a table that is altered repeatedly while its changes are applied.',
    action: 'Nothing; if it persists, find the session that blocks or alters the table.',
  },
  WorkerFull: {
    handling: 'timed',
    meaning:
      'The worker has no free place for another open migration or copy; a different worker may have one.',
    action: 'Start another worker, or raise the named option of this one.',
  },
  WayBackLost: {
    handling: 'operator',
    meaning:
      'The old database cannot follow the new one any longer: a change cannot be streamed back, and nothing is copied back.',
    action:
      'The application is not affected. `finalize`; to return later, migrate from the new database to an empty one.',
  },
  SlotBusy: {
    handling: 'timed',
    meaning: 'Another session still uses the slot.',
    action: 'Nothing; the session that uses it is being ended.',
  },
  SlotBlocked: {
    handling: 'timed',
    meaning: 'The slot or the snapshot waits for transactions that were open before it.',
    action: 'End the transactions named in the message, or wait for them.',
  },
  SlotMissing: {
    handling: 'operator',
    meaning: 'The slot is gone or invalidated, and with it changes that are not applied yet.',
    action:
      'Abort and start again; raise max_slot_wal_keep_size if the server invalidated it. If it ended a cutover after the drain, compare the databases first: the answer of the cutover says how.',
  },
  PluginRefused: {
    handling: 'operator',
    meaning:
      'The source refuses wal2json (setting output_plugin_libraries, from 15.19, 17.11 and 18.6 on).',
    action:
      'On the source: alter system set output_plugin_libraries = pgoutput, test_decoding, wal2json; select pg_reload_conf(); then resume.',
  },
  Denied: {
    handling: 'operator',
    meaning:
      'The server refuses the role or its password, or the role lacks a right that walferry needs.',
    action:
      'Correct the password, role or grant named in the message, then resume; before the copy: start again.',
  },
  SchemaFailed: {
    handling: 'operator',
    meaning: 'A DDL statement of the schema failed on the target.',
    action:
      'Fix the named object on the target or exclude it, then start again, or resume if the migration waits.',
  },
  ConstraintFailed: {
    handling: 'operator',
    meaning: 'An index or constraint could not be built over the copied rows.',
    action:
      'Fix the rows on the source, then resume: the stream applies the change before the next try. If a primary key or replica identity fails, its index on the source is broken or the target compares differently: fix that, abort and start again.',
  },
  AnchorRefused: {
    handling: 'timed',
    meaning:
      'The stream could not stand at an anchor, the one state at which a verification reads both sides; the message says why.',
    action:
      'Nothing, if it passes. Otherwise what the message names: end the huge transaction, bring the standby back, or resume the stream.',
  },
  AnchorLost: {
    handling: 'timed',
    meaning:
      'A session that held an anchor ended, or its time was over; tables that were not compared yet take the next anchor.',
    action: 'Nothing.',
  },
  SnapshotLost: {
    handling: 'pass',
    meaning:
      'The session that exported the snapshot ended; unfinished tables are copied under the next snapshot.',
    action: 'Nothing.',
  },
  TableRewritten: {
    handling: 'pass',
    meaning:
      'A table was truncated or rewritten on the source during its copy; it is copied from the start.',
    action: 'Nothing.',
  },
  Resync: {
    handling: 'pass',
    meaning:
      'DDL on the source changed rows outside the stream (a rewrite, a temporarily unlogged table) or added rows to the selection: those tables are resynced under a new snapshot, and the stream continues where it stopped.',
    action: 'Nothing.',
  },
  CopyFailed: {
    handling: 'operator',
    meaning: 'Rows of a chunk could not be copied.',
    action: 'Fix what the SQLSTATE indicates for the named table, then resume.',
  },
  ChangeFailed: {
    handling: 'operator',
    meaning: 'A change from the source could not be applied on the target.',
    action: 'Read the key from walferry.stopped_change on the target, fix the cause, then resume.',
  },
  RowMissing: {
    handling: 'operator',
    meaning: 'An update or delete from the source found no row, or several, on the target.',
    action:
      'Something else wrote to the target: read the key from walferry.stopped_change, `set walferry.apply = on`, restore the row, then resume.',
  },
  UnknownRelation: {
    handling: 'operator',
    meaning:
      'A table was added to the selection while streaming (created, attached, renamed), and the target has no table with that name.',
    action:
      'Create the same table on the target, without rows, then resume: its rows are copied and its changes applied.',
  },
  SchemaDrift: {
    handling: 'operator',
    meaning: 'A table differs between source and target, or became unlogged on the source.',
    action:
      'Apply the same DDL on the target, or set the table to logged again, then resume. Tables that the stream alone cannot bring up to date are resynced automatically.',
  },
  StreamWarning: {
    handling: 'operator',
    meaning:
      'The source sent a WARNING while decoding: changes may be missing (a table lost its replica identity).',
    action:
      'Give the named table a primary key or `replica identity full` on the source (or drop it on both sides; one that `ignore.missingIdentity` lists needs neither), then resume: it is resynced. If the message names no table, abort and start again.',
  },
  KeyUnread: {
    handling: 'timed',
    meaning:
      "The source printed an update without its key, because ANALYZE, VACUUM or DDL changed the table's catalog entry at that moment.",
    action: 'Nothing: the change is read again.',
  },
  StandbyLoop: {
    handling: 'operator',
    meaning:
      'The source counts the stream as a synchronous standby: its commits wait for the target, and the target waits for them to become visible.',
    action:
      "Act at once, because writers hang until another standby answers: name the standbys in synchronous_standby_names on the source without `*` (`''` if there is none), `select pg_reload_conf();`, then resume.",
  },
  StreamMalformed: {
    handling: 'operator',
    meaning: 'A message of the stream could not be parsed.',
    action: 'Report it with the LSN; nothing was skipped.',
  },
  CheckpointMissing: {
    handling: 'operator',
    meaning:
      'The control schema on the target is gone, or its LSN is below what was confirmed before.',
    action: 'The target was replaced or restored: abort and start again.',
  },
  StoreTooNew: {
    handling: 'timed',
    meaning:
      'A newer walferry has upgraded the control schema on the target; this worker does not know that version.',
    action: 'Run workers of the newer version, and stop the older ones.',
  },
  StoreTooOld: {
    handling: 'operator',
    meaning:
      'A walferry before 0.1, which recorded no version, created the control schema on the target.',
    action:
      'Run workers of the walferry that started the migration. If it is over, remove what it left with that version of cleanup.',
  },
  SourceRewound: {
    handling: 'operator',
    meaning:
      'The source lacks WAL that the target has already applied: a backup or disk image was restored, or a lagging standby was promoted.',
    action:
      'If a server with the full history still exists, point the service to it and resume. Otherwise the target holds rows that the source has lost: abort, empty the target and start again.',
  },
  TargetRewound: {
    handling: 'operator',
    meaning:
      'Before the slot was dropped, the target lacked work that this cutover had finished (constraints, triggers, materialized views): a lagging standby was promoted, or a backup was restored.',
    action:
      'The cutover was undone and streaming continues, which rebuilds what is missing. Call cutover again once the target has no failover pending.',
  },
  Fenced: {
    handling: 'timed',
    meaning: 'A newer attempt took over; this one wrote nothing more.',
    action: 'Nothing.',
  },
  Stalled: {
    handling: 'timed',
    meaning:
      'The source sent neither data nor keepalives for too long, or a database stopped processing a query without answering.',
    action:
      'Nothing, if it recovers on its own; otherwise check the network, the walsender, and the sessions of walferry.',
  },
  NotEqual: {
    handling: 'operator',
    meaning:
      'Row counts of source and target, or values of generated columns, differ after the drain.',
    action:
      'The cutover was undone and streaming continues: stop any remaining writers or find the rows with `walferry compare`, then call cutover again. If generated columns differ, follow the message; cutover with `{"compare": "off"}` accepts the difference (the last digit of a float).',
  },
  ...CUTOVER_FAILURES,
  SlotKept: {
    handling: 'never',
    meaning:
      'The migration ended, but its slot could not be dropped; it retains WAL on the source.',
    action: `Drop it with the command in the message. If that starts with "${MIGRATION_COMPLETE}", the target is ready.`,
  },
  ControlKept: {
    handling: 'never',
    meaning: 'The migration ended, but its control schema could not be removed from the target.',
    action: `Remove it with the command in the message. If that starts with "${MIGRATION_COMPLETE}", the target is ready.`,
  },
  Aborted: {
    handling: 'never',
    meaning: 'The operator aborted the migration.',
    action: `Tables with copied rows are still on the target, ${LEFT_ON_TARGET}.`,
  },
  Internal: {
    handling: 'operator',
    meaning: 'walferry ran into a situation that its code does not handle.',
    action: 'Report it; resume retries the step.',
  },
} as const satisfies Record<string, Entry>;

export type FailureCode = keyof typeof FAILURES;

/** Whether the text is a code of this catalogue. */
export function isFailureCode(text: unknown): text is FailureCode {
  return typeof text === 'string' && Object.hasOwn(FAILURES, text);
}
