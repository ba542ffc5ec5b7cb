/**
 * The final check of the slot before it is dropped: did anything change after the end mark? Peeking does not advance the slot.
 */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { MOST_LATER_TABLES, type Work } from '../../contract/work.ts';
import { ignoredAmong } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { readNamed, readSchemaRows, type SchemaRows } from '../catalog/schema-row.ts';
import { literalSchemas } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { isWarning } from '../connection/notice.ts';
import { isKeyUnread, unsentOf } from '../replication/warning.ts';
import { isUnprintable } from '../replication/stream-failure.ts';
import type { Session } from '../session/session.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectSource } from '../session/open.ts';
import { Doubt } from '../drift/renamed-schema-change.ts';
import { readOutside } from '../drift/filtered-table.ts';
import { pluginOptions } from '../wal2json/plugin-options.ts';
import { isEntered } from '../catalog/uncommitted-table.ts';
import { movedSequences } from './late-sequence.ts';
import { changedWithoutTrace, readFollowed } from './late-storage.ts';
import { refuseLargeObjects } from './large-objects.ts';
import { LOCK_TIMEOUT_MS, withoutWaiting } from './short-lock.ts';
import { markTransaction } from '../stream/end-mark.ts';
import { openSource } from './open-source.ts';

/**
 * The changed tables, aggregated on the server, so that few rows are returned however much changed since the mark. A transaction
 * counts if its commit record (which starts at `lsn` of its C message) is at or after the mark; every message carries its `xid`.
 */
const CHANGED = /* sql */ `
with message as materialized (
  select m.xid::text as xid, m.data::json ->> 'action' as action, m.data::json ->> 'lsn' as lsn,
         m.data::json ->> 'schema' as schema, m.data::json ->> 'table' as "table"
    from pg_catalog.pg_logical_slot_peek_changes($1, pg_catalog.pg_current_wal_flush_lsn(), null,
           variadic $3::text[]) m
)
select distinct c.schema, c."table"
  from message c
 where c.action in ('I', 'U', 'D', 'T')
   and exists (select from message e
                where e.action = 'C' and e.xid = c.xid and e.lsn::pg_lsn >= $2::pg_lsn)`;

/**
 * Tables that are being written. A writer, prepared transactions included, locks its tables until it ends, and every role can see
 * these locks (but not who has a transaction id).
 */
export const BEING_WRITTEN = /* sql */ `
select distinct n.nspname as schema, c.relname as "table"
  from pg_catalog.pg_locks l
  join pg_catalog.pg_class c on c.oid = l.relation
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
   and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
   and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   and l.relation = any($1::oid[])`;

/**
 * Selected tables, as `schema.name`, that were changed by transactions committed at or after `since`, are being changed by an
 * open transaction, or changed without WAL since the drain; and sequences that moved since they were set, as `schema.name
 * (sequence)`. At most {@link MOST_LATER_TABLES}.
 */
export async function laterChanges(
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  signal: AbortSignal = new AbortController().signal,
  beat: Work['beat'] = () => undefined,
  writers: Checking['writers'] = 'stopped',
): Promise<string[]> {
  const work = { signal, beat, writers };
  return (await finalCheck(migration, input, since, work)).tables.slice(0, MOST_LATER_TABLES);
}

/**
 * `fenced`: writers that a fence refuses lock their table for a moment all the same, and the proof has waited for those that it did
 * not refuse; sequences are set after the check, with a margin. Both say nothing then.
 */
type Checking = Pick<Work, 'signal' | 'beat'> & {
  readonly writers?: 'stopped' | 'fenced';
};

export interface FinalCheck {
  /** Like {@link laterChanges}, without the limit. */
  readonly tables: string[];
  /** Oids of the selected tables whose writers count: all except ignored unlogged ones. */
  readonly oids: readonly number[];
  /**
   * The source's next transaction id after the check's own mark, if no transaction was open at its start and none was assigned an
   * id before the mark: while it is still the next id, nothing was written that the check did not see. Otherwise null, even if
   * the other transactions write only to other tables.
   */
  readonly next: string | null;
  /** Whether a transaction that was open at the start of the check may add a table to the selection: see uncommitted-table.ts. */
  readonly entering: boolean;
}

/** {@link laterChanges}, and what is needed to decide whether its result is still valid. */
export async function finalCheck(
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  work: Checking,
): Promise<FinalCheck> {
  const { signal } = work;
  try {
    await using source = await openSource(migration, { ...work, lockTimeoutMs: LOCK_TIMEOUT_MS });
    await using session = await connectSource(migration, 'cutover', { signal });
    return await whileWatched(
      [source, session],
      work,
      () => ({ step: STEP }),
      () => check({ source, session }, migration, input, { since, work }),
    );
  } catch (error) {
    signal.throwIfAborted();
    // No such slot.
    const gone = sqlstate(error) === SQLSTATE.undefinedObject;
    throw classify(error, { step: STEP, side: 'source' }, gone ? 'SlotMissing' : 'Internal');
  }
}

const STEP = 'checking for changes after the end mark';

async function check(
  { source, session }: { readonly source: Session; readonly session: Session },
  migration: Migration,
  input: MigrationInput,
  { since, work }: { readonly since: Lsn; readonly work: Checking },
): Promise<FinalCheck> {
  const plan = await readFollowed(migration, work);
  // Before everything else that the check reads on the source, and before the flush: a transaction that ends between the flush
  // and a later check for open transactions would be neither flushed nor open, and its changes would be lost with the slot.
  const before = await source.query<{ idle: string | null }>(/* sql */ `
    select case when pg_catalog.pg_snapshot_xmin(s) = pg_catalog.pg_snapshot_xmax(s)
                then pg_catalog.pg_snapshot_xmax(s)::text end as idle from pg_catalog.pg_current_snapshot() s`);
  // Before the tables are read: a transaction that ends in between is then seen by the read.
  const planned = plan.tables.map(({ oid }) => oid);
  const entering = await isEntered(source, planned, literalSchemas(input.tables));
  const relations = await withoutWaiting(source, () => readRelations(source, input.tables));
  const { missingIdentity, unlogged } = ignoredAmong(relations, input.ignore);
  const known = new Set(relations.map(({ oid }) => oid));
  const oids = [
    ...relations.filter((one) => one.persistence === 'p' || !unlogged(one)).map(({ oid }) => oid),
    // Tables of the plan that were renamed or moved out of the selection are identified by oid.
    ...plan.tables.flatMap(({ oid }) => (known.has(oid) ? [] : [oid])),
  ];
  // Before the slot is read: what commits in between is seen there.
  const writing = await source.query<{ schema: string; table: string }>(BEING_WRITTEN, [oids]);
  // Flushes asynchronous commits: decoding stops at the flush position.
  const { xid } = await markTransaction(source, migration, 'on');
  // The first id since then: no other transaction has started to write, and all that had ended are flushed.
  const alone = before.rows[0]?.idle === String(xid);
  // After the mark, so that a later one takes the next transaction id.
  await refuseLargeObjects(source, input);
  const selected = new Set(relations.map(keyOfName));
  const warned = new Set<string>();
  let unnamed = false;
  session.on('notice', (notice) => {
    // An update without its key is still in the output, and only its table matters here.
    if (!isWarning(notice) || isKeyUnread(notice.message)) return;
    const unsent = unsentOf(notice.message);
    if (unsent === null) unnamed = true;
    else warned.add(keyOfName({ schema: unsent.schema, name: unsent.table }));
  });
  // A schema may have been renamed since the drain, and its changes have come under another name.
  const doubt = await doubtOf(plan.schemas, source, relations);
  const decode = async (excludeAll: boolean) => {
    const options = await decodingOptions(source, relations, excludeAll, doubt);
    return session.run((client) =>
      client.query<{ schema: string; table: string }>(CHANGED, [
        migration.slot,
        since,
        Object.entries(options).flat(),
      ]),
    );
  };
  const { rows } = await decode(false).catch((error: unknown) => {
    // The row may belong to a table that is not migrated: retry without those.
    if (isUnprintable(error)) return decode(true);
    throw error;
  });
  // For changes of tables without replica identity wal2json sends only a warning. If the input ignores the table's missing
  // identity, the change counts as a later change.
  const missed = relations.filter((one) => warned.has(keyOfName(one)) && missingIdentity(one));
  for (const one of missed) warned.delete(keyOfName(one));
  if (unnamed || [...warned].some((key) => selected.has(key))) {
    throw new MigrationError(
      'StreamWarning',
      'the source raised a warning while decoding WAL after the end mark: changes may be missing',
    );
  }
  const names = [
    ...rows.filter(({ schema, table }) => selected.has(keyOfName({ schema, name: table }))),
    ...(work.writers === 'fenced' ? [] : writing.rows),
  ].map(({ schema, table }) => `${schema}.${table}`);
  for (const { schema, table } of rows) doubt.met({ schema, name: table }, NOWHERE);
  const renamed = doubt.suspects(() => false).map(({ table }) => nameOf(table));
  // Last, so that both see changes made while the slot was read.
  const traceless = await changedWithoutTrace(migration, input, plan, work);
  const counted = new Set(oids);
  const moved =
    work.writers === 'fenced'
      ? []
      : await movedSequences(source, migration, input.tables, relations, counted, work);
  const found = [...names, ...renamed, ...missed.map(nameOf), ...traceless, ...moved];
  return {
    tables: [...new Set(found)].sort(),
    oids,
    next: alone ? String(xid + 1n) : null,
    entering,
  };
}

/** Excludes unselected tables that would cause warnings, or all of them; changes of the others are filtered here. */
async function decodingOptions(
  source: pg.ClientBase,
  relations: readonly Relation[],
  excludeAll: boolean,
  doubt: Doubt,
): Promise<Readonly<Record<string, string>>> {
  const schemas = [...new Set(relations.map(({ schema }) => schema))];
  const asked = new Set(schemas);
  const { tables } = await readOutside(source, relations, excludeAll);
  const without = doubt.any
    ? tables.filter((one) => doubt.mayLeave(one))
    : tables.filter(({ schema }) => asked.has(schema));
  return pluginOptions({ schemas: doubt.any ? null : schemas, without, numericAsText: false });
}

/** The peek does not return positions of changes. */
const NOWHERE = { lsn: null, xid: 0, commitLsn: parseLsn('0/0') };

async function doubtOf(
  recorded: SchemaRows | null,
  source: pg.ClientBase,
  relations: readonly Relation[],
): Promise<Doubt> {
  const tables = relations.filter(({ kind }) => kind === 'r');
  const doubt = new Doubt(recorded, await readSchemaRows(source), tables);
  if (doubt.any) doubt.rivals(await readNamed(source, doubt.wanted));
  return doubt;
}
