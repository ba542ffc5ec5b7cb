/**
 * A last look into the slot before it is dropped: did anything change after the end mark? Peeking leaves the slot where
 * it is.
 */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import { MOST_LATER_TABLES, type Work } from '../../contract/work.ts';
import { ignoredAmong } from '../catalog/ignored.ts';
import { readRelations, type Relation } from '../catalog/relation.ts';
import { readNamed, readSchemaRows, type SchemaRows } from '../catalog/schema-row.ts';
import { literalSchemas } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import { isWarning } from '../connection/notice.ts';
import { isKeyUnread, unsentOf } from '../replication/warning.ts';
import { isUnprintable } from '../replication/refusal.ts';
import { StepSession } from '../schema/step-session.ts';
import { whileWatched } from '../schema/watch.ts';
import { backendPidOf } from '../replication/socket.ts';
import { Doubt } from '../stream/doubt.ts';
import { readOutside } from '../stream/outside.ts';
import { pluginOptions } from '../wal2json/options.ts';
import { isEntered } from './entering.ts';
import { movedSequences } from './late-sequence.ts';
import { changedWithoutTrace, readFollowed } from './late-storage.ts';
import { refuseLargeObjects } from './large-objects.ts';
import { LOCK_TIMEOUT_MS, withoutWaiting } from './short-lock.ts';
import { markTransaction } from './end-mark.ts';
import { openSource } from './source.ts';

/**
 * Changed tables only, put together by the server: whatever happened since the mark, few rows come here. A transaction
 * counts by its commit record (`lsn` of its C message is where that starts); every message carries its `xid`.
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
 * Tables that somebody is writing to right now. A writer locks its tables until it ends, also when it is a prepared transaction,
 * and these locks are visible to every role (who holds a transaction id is not).
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
 * The selected tables that transactions committed at or after `since` changed, that a transaction is changing and has not
 * committed, or that changed without WAL since the drain, as `schema.name`, and the sequences that are not as they were set, as
 * `schema.name (sequence)`; at most {@link MOST_LATER_TABLES}.
 */
export async function laterChanges(
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  signal: AbortSignal = new AbortController().signal,
  beat: Work['beat'] = () => undefined,
): Promise<string[]> {
  return (await lastLook(migration, input, since, { signal, beat })).tables.slice(
    0,
    MOST_LATER_TABLES,
  );
}

export interface LastLook {
  /** As {@link laterChanges}, all of them. */
  readonly tables: string[];
  /** Oids of the selected tables whose writers count: all but the unlogged ones that the input accepts. */
  readonly oids: readonly number[];
  /**
   * The source's next transaction id after the look's own mark, if no transaction was open when the look began and none took an id
   * before the mark: as long as it is the next one, nothing was written that the look did not see. Null otherwise, whatever the
   * others write to.
   */
  readonly next: string | null;
  /** Whether a transaction that was open when the look began may bring a table into the selection: see entering.ts. */
  readonly entering: boolean;
}

/** {@link laterChanges}, with what tells whether the look still holds. */
export async function lastLook(
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<LastLook> {
  const { signal } = work;
  try {
    await using source = await openSource(migration, { ...work, lockTimeoutMs: LOCK_TIMEOUT_MS });
    await using session = await StepSession.open(
      { side: 'source', migration, purpose: 'cutover' },
      signal,
    );
    const pid = backendPidOf(source);
    return await whileWatched(
      { ...PLACE, migration, pids: pid === null ? [session.pid] : [session.pid, pid] },
      work,
      () => ({ step: STEP }),
      () => look({ source, session }, migration, input, { since, work }),
    );
  } catch (error) {
    signal.throwIfAborted();
    const gone = sqlstate(error) === UNDEFINED_OBJECT;
    throw classify(error, { step: STEP, side: 'source' }, gone ? 'SlotMissing' : 'Internal');
  }
}

const STEP = 'looking for later changes';
const PLACE = { side: 'source', purpose: 'cutover' } as const;
/** Of a slot. */
const UNDEFINED_OBJECT = '42704';

async function look(
  { source, session }: { readonly source: pg.Client; readonly session: StepSession },
  migration: Migration,
  input: MigrationInput,
  { since, work }: { readonly since: Lsn; readonly work: Pick<Work, 'signal' | 'beat'> },
): Promise<LastLook> {
  const plan = await readFollowed(migration, work);
  // Before everything that the look reads on the source, and before the flush: what ends between that flush and a later question
  // for open transactions is neither flushed nor open, and the slot would go with it.
  const before = await source.query<{ idle: string | null }>(/* sql */ `
    select case when pg_catalog.pg_snapshot_xmin(s) = pg_catalog.pg_snapshot_xmax(s)
                then pg_catalog.pg_snapshot_xmax(s)::text end as idle from pg_catalog.pg_current_snapshot() s`);
  // Before the tables are read: those of a transaction that ends in between are among them.
  const planned = plan.tables.map(({ oid }) => oid);
  const entering = await isEntered(source, planned, literalSchemas(input.tables));
  const relations = await withoutWaiting(source, () => readRelations(source, input.tables));
  const { missingIdentity, unlogged } = ignoredAmong(relations, input.ignore);
  const known = new Set(relations.map(({ oid }) => oid));
  const oids = [
    ...relations.filter((one) => one.persistence === 'p' || !unlogged(one)).map(({ oid }) => oid),
    // A table of the plan that was renamed or moved out of the selection is written to under its oid.
    ...plan.tables.flatMap(({ oid }) => (known.has(oid) ? [] : [oid])),
  ];
  // Before the look into the slot: what commits between the two is seen there.
  const writing = await source.query<{ schema: string; table: string }>(BEING_WRITTEN, [oids]);
  // Flushes whatever was committed asynchronously: decoding stops at the flush position.
  const { xid } = await markTransaction(source, migration);
  // The first id since: nothing else has begun to write, and what had ended before is flushed.
  const alone = before.rows[0]?.idle === String(xid);
  // After the mark, so that one that comes later takes the next id.
  await refuseLargeObjects(source, input);
  const selected = new Set(relations.map(keyOfName));
  const warned = new Set<string>();
  let unnamed = false;
  session.client.on('notice', (notice) => {
    // Of an update without its key the line is still there, and only its table counts here.
    if (!isWarning(notice) || isKeyUnread(notice.message)) return;
    const unsent = unsentOf(notice.message);
    if (unsent === null) unnamed = true;
    else warned.add(keyOfName({ schema: unsent.schema, name: unsent.table }));
  });
  // A schema that had another name since the drain: its changes came under that name.
  const doubt = await doubtOf(plan.schemas, source, relations);
  const decode = async (leaveAll: boolean) => {
    const options = await decodingOptions(source, relations, leaveAll, doubt);
    return session.run((client) =>
      client.query<{ schema: string; table: string }>(CHANGED, [
        migration.slot,
        since,
        Object.entries(options).flat(),
      ]),
    );
  };
  const { rows } = await decode(false).catch((error: unknown) => {
    // It may be a row of a table that is not moved, and then it need not be printed.
    if (isUnprintable(error)) return decode(true);
    throw error;
  });
  // wal2json leaves changes of tables without replica identity out, with nothing but a warning.
  // Of a table that is accepted like that such a change is one more that came too late.
  const missed = relations.filter((one) => warned.has(keyOfName(one)) && missingIdentity(one));
  for (const one of missed) warned.delete(keyOfName(one));
  if (unnamed || [...warned].some((key) => selected.has(key))) {
    throw new MigrationError(
      'StreamWarning',
      'the source warned while decoding what came after the end mark: changes may be left out',
    );
  }
  const names = [
    ...rows.filter(({ schema, table }) => selected.has(keyOfName({ schema, name: table }))),
    ...writing.rows,
  ].map(({ schema, table }) => `${schema}.${table}`);
  for (const { schema, table } of rows) doubt.met({ schema, name: table }, NOWHERE);
  const renamed = doubt.suspects(() => false).map(({ table }) => nameOf(table));
  // Last, so that both see what came while the slot was read.
  const traceless = await changedWithoutTrace(migration, input, plan, work);
  const moved = await movedSequences(
    source,
    migration,
    input.tables,
    relations,
    new Set(oids),
    work,
  );
  const found = [...names, ...renamed, ...missed.map(nameOf), ...traceless, ...moved];
  return {
    tables: [...new Set(found)].sort(),
    oids,
    next: alone ? String(xid + 1n) : null,
    entering,
  };
}

/** Leaves out the tables that are not selected and that the source would warn about, or all; changes of the others are dropped here. */
async function decodingOptions(
  source: pg.ClientBase,
  relations: readonly Relation[],
  leaveAll: boolean,
  doubt: Doubt,
): Promise<Readonly<Record<string, string>>> {
  const schemas = [...new Set(relations.map(({ schema }) => schema))];
  const asked = new Set(schemas);
  const { tables } = await readOutside(source, relations, leaveAll);
  const without = doubt.any
    ? tables.filter((one) => doubt.mayLeave(one))
    : tables.filter(({ schema }) => asked.has(schema));
  return pluginOptions({ schemas: doubt.any ? null : schemas, without, numericAsText: false });
}

/** The peek does not say where a change lies. */
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
