/** Measures whether a cutover could begin now: cheap reads on both sides, beside the running stream. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { isFenced } from '../../contract/cutover.ts';
import type { Passing } from '../../contract/fence.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { ReadinessFacts } from '../../contract/readiness.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import { readCandidates, type Candidate } from '../catalog/read-relations.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { readWanted } from '../cutover/sequence-state.ts';
import { fencedAmong } from '../fence/fenced-tables.ts';
import { fenceFor } from '../fence/kinds.ts';
import { readWriterAges } from '../fence/writer.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { readDisabledTriggers } from '../store/disabled-trigger.ts';
import { readFollowedTarget } from '../store/followed-target.ts';

const STEP = 'assessing readiness';
/** Names are in the workflow's history. */
const MOST = 20;

const SLOT = /* sql */ `
select s.wal_status as status, s.safe_wal_size::float8 as "safeBytes",
       coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn), 0)::float8 as "heldBytes"
  from pg_catalog.pg_replication_slots s where s.slot_name = $1`;

const LAG = /* sql */ `select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), $1::pg_catalog.pg_lsn)::float8 as bytes`;

/** Only for members of pg_monitor; the right is checked even where the call is never reached. */
const MAY_LIST = /* sql */ `select pg_catalog.has_function_privilege('pg_catalog.pg_ls_waldir()', 'execute') as may`;
const WAL = /* sql */ `select pg_catalog.sum(size)::float8 as bytes from pg_catalog.pg_ls_waldir()`;

/** Without a fence. A transaction id is assigned with the first write. Others' names and ages are hidden from roles without pg_monitor: then zero. */
const WRITER = /* sql */ `
select a.pid, coalesce(a.application_name, '') as application,
       greatest(0, extract(epoch from pg_catalog.clock_timestamp() - a.xact_start))::float8 as seconds
  from pg_catalog.pg_stat_activity a
 where a.datname = pg_catalog.current_database() and a.backend_xid is not null and a.application_name not like 'walferry%'
   and a.xact_start is not null
 order by a.xact_start limit 1`;

const PREPARED = /* sql */ `
select count(*)::int as count, coalesce(max(greatest(0, extract(epoch from pg_catalog.clock_timestamp() - p.prepared))), 0)::float8 as seconds
  from pg_catalog.pg_prepared_xacts p where p.database = pg_catalog.current_database()`;

const INVALID = /* sql */ `
select n.nspname as schema, x.relname as name
  from unnest($1::text[], $2::text[]) as wanted (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = wanted.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
  join pg_catalog.pg_index i on i.indrelid = c.oid and not (i.indisvalid and i.indisready)
  join pg_catalog.pg_class x on x.oid = i.indexrelid
  -- On a partitioned table it only says that a partition has no index of its own.
 where x.relkind = 'i' order by 1, 2 limit ${MOST}`;

/** Tables whose statistics were never taken, and which are not empty. */
const UNANALYZED = /* sql */ `
select n.nspname as schema, c.relname as name
  from unnest($1::text[], $2::text[]) as wanted (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = wanted.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind = 'r' and c.reltuples <= 0
 where pg_catalog.pg_stat_get_live_tuples(c.oid) > 0
   and pg_catalog.pg_stat_get_last_analyze_time(c.oid) is null and pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) is null
 order by 1, 2 limit ${MOST}`;

const UNREADABLE = /* sql */ `
select w.schema, w.name from unnest($1::text[], $2::text[], $3::text[]) w (schema, name, sql)
 where not pg_catalog.has_sequence_privilege(w.sql, 'SELECT') order by 1, 2 limit ${MOST}`;

/**
 * Reads the facts. Changes nothing.
 * @throws MigrationError `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function assessReadiness(
  migration: Migration,
  input: MigrationInput,
  { signal, beat = () => undefined }: Partial<Pick<Work, 'signal' | 'beat'>> = {},
): Promise<ReadinessFacts> {
  try {
    const options = signal ? { signal } : {};
    await using source = await connectSource(migration, 'readiness', options);
    await using target = await connectTarget(migration, 'readiness', options);
    return await whileWatched(
      [source, target],
      { beat },
      () => ({ step: STEP }),
      async () => {
        const { confirmed, tables } = await readFollowedTarget(target, migration);
        const lagBytes = await lagOf(source, confirmed);
        const { all, selected } = await readCandidates(source, input.tables);
        const relations = all.filter(({ oid }) => selected.has(oid));
        const wanted = await readWanted({ source, target }, migration, input.tables, relations);
        const slots = await source.query<NonNullable<ReadinessFacts['slot']>>(SLOT, [
          migration.slot,
        ]);
        const columns = [tables.map(({ schema }) => schema), tables.map(({ name }) => name)];
        return {
          slot: slots.rows[0] ?? null,
          walBytes: await walOf(source),
          lagBytes,
          ...(isFenced(input)
            ? await fencedWriters(source, all, selected)
            : await anyWriters(source)),
          invalidIndexes: await namesOf(target, INVALID, columns),
          unanalyzed: await namesOf(target, UNANALYZED, columns),
          unreadableSequences: await namesOf(source, UNREADABLE, [
            wanted.sequences.map(({ schema }) => schema),
            wanted.sequences.map(({ name }) => name),
            wanted.sequences.map(({ sql }) => sql),
          ]),
          sequences: wanted.sequences.length,
          triggers: (await readDisabledTriggers(target, migration, false)).length,
          ...(await fenceOfInput(source, input)),
          ...(input.switchback === undefined
            ? {}
            : { wayBack: await wayBackOf(target, migration) }),
        };
      },
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: STEP }, 'Internal');
  }
}

type Writers = Pick<ReadinessFacts, 'writer' | 'prepared'>;

/** The operator stops every writer. */
async function anyWriters(source: Session): Promise<Writers> {
  const writers = await source.query<NonNullable<Writers['writer']>>(WRITER);
  const prepared = await source.query<Writers['prepared']>(PREPARED);
  return {
    writer: writers.rows[0] ?? null,
    prepared: prepared.rows[0] ?? { count: 0, seconds: 0 },
  };
}

/** Those that the proof would wait for: who writes other tables only may go on. */
async function fencedWriters(
  source: Session,
  all: readonly Candidate[],
  selected: ReadonlySet<number>,
): Promise<Writers> {
  const oids = fencedAmong(all, selected).tables.map(({ oid }) => oid);
  const writers = await readWriterAges(source, oids);
  const sessions = writers.flatMap(({ pid, application, seconds }) =>
    pid === null ? [] : [{ pid, application, seconds }],
  );
  const prepared = writers.filter(({ pid }) => pid === null);
  return {
    writer: sessions[0] ?? null,
    prepared: { count: prepared.length, seconds: prepared[0]?.seconds ?? 0 },
  };
}

/** What its rights allow and what passes it changes with every GRANT, subscription and table. */
async function fenceOfInput(
  source: Session,
  input: MigrationInput,
): Promise<Pick<ReadinessFacts, 'fence'>> {
  if (!isFenced(input)) return {};
  const { kind, missing, passes } = await fenceFor(input).rights(source, input);
  const said = ({ what, action }: Passing): string => `${what}. ${action.replace(/\.$/, '')}`;
  return {
    fence: {
      kind,
      open: [...missing, ...passes.filter(({ refuses }) => refuses).map(said)],
      passes: passes.filter(({ refuses }) => !refuses).map(said),
    },
  };
}

async function wayBackOf(target: pg.ClientBase, migration: Migration): Promise<string | null> {
  const { rows } = await target.query<{ status: string | null }>(
    /* sql */ `select s.wal_status as status from pg_catalog.pg_replication_slots s where s.slot_name = $1`,
    [reverseOf(migration).slot],
  );
  const [slot] = rows;
  return slot === undefined ? null : (slot.status ?? 'unused');
}

async function lagOf(source: pg.ClientBase, confirmed: Lsn | null): Promise<number> {
  if (confirmed === null) return 0;
  const { rows } = await source.query<{ bytes: number }>(LAG, [confirmed]);
  return Math.max(0, rows[0]?.bytes ?? 0);
}

async function walOf(source: pg.ClientBase): Promise<number | null> {
  const { rows } = await source.query<{ may: boolean }>(MAY_LIST);
  if (rows[0]?.may !== true) return null;
  return (await source.query<{ bytes: number | null }>(WAL)).rows[0]?.bytes ?? null;
}

async function namesOf(
  client: pg.ClientBase,
  sql: string,
  values: readonly unknown[],
): Promise<string[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(sql, [...values]);
  return rows.map(nameOf);
}
