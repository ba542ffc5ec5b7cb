/**
 * What the schema steps store on the target next to the migration's row: every entry of the archive that belongs to the
 * migration, with its SQL (so that a worker without client programs can continue), a mark for each entry that was run, written
 * in the transaction that ran it, and the triggers that are disabled until the cutover.
 */
import type pg from 'pg';
import type { IndexReport } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import { describeEntry } from '../archive/archive.ts';
import type { PlannedEntry, SchemaPhase } from '../archive/entry-phase.ts';

/** Run after CREATE_CONTROL_SCHEMA, in the same transaction. */
export const CREATE_SCHEMA_CONTROL = /* sql */ `
create table if not exists walferry.schema_entry (
  migration text not null references walferry.migration on delete cascade,
  position integer not null,               -- order of the archive's script
  id integer not null,                     -- number in the archive's table of contents
  phase text not null,                     -- tables, indexes or constraints; checks: see deferred-check.ts; grants: see late-grant.ts
  kind text not null,                      -- pg_dump's word: TABLE, INDEX, FK CONSTRAINT, ...
  schema_name text,
  name text not null,                      -- pg_dump's tag
  sql text not null,
  depends integer[] not null,
  tables text[] not null,                  -- readable names of the tables it is part of, its own first
  refresh boolean not null default false,  -- a materialized view to fill; the operator may set it to false
  was_empty boolean,                       -- a materialized view that was empty on the source when this was stored; null: not noted
  refresh_state text,                      -- SQLSTATE of the last failed attempt to fill it, or to add a check
  added oid,                               -- a foreign key that exists here but is not validated yet; for ROW SECURITY: its table
  refreshed pg_lsn,                        -- the end mark that a materialized view was last refreshed for
  broken_rows bigint,                      -- rows that break it, when the last attempt failed on them; null: not counted
  broken_query text,                       -- lists those rows
  source_class oid,                        -- catalog and oid of the object on the source; 0 or null: a part without one
  source_oid oid,
  done_at timestamptz,
  primary key (migration, id)
);

-- For the batches that create the tables: without it each would read all entries.
create index if not exists schema_entry_waiting on walferry.schema_entry (migration, phase, position) where done_at is null;

create table if not exists walferry.archive (
  migration text not null references walferry.migration on delete cascade,
  number_offset integer not null,          -- added to the archive's entry numbers to get those in schema_entry
  content bytea not null,                  -- further archives of a schema that was dumped in parts; the first is in walferry.migration
  primary key (migration, number_offset)
);

create table if not exists walferry.left_out (
  migration text not null references walferry.migration on delete cascade,
  position integer not null,
  object text not null,                    -- kind and name
  reason text not null,                    -- excluded: depends on something left out; kind: never moved; accepted; unselected; unvalidated
  primary key (migration, position)
);

create table if not exists walferry.disabled_trigger (
  migration text not null references walferry.migration on delete cascade,
  kind text not null,                      -- trigger, rule or event trigger
  schema_name text not null default '',
  table_name text not null default '',
  name text not null,
  state "char" not null,                   -- tgenabled, ev_enabled or evtenabled to restore at the cutover
  given_back boolean not null default false,
  object oid,                              -- of pg_trigger, pg_rewrite or pg_event_trigger
  made boolean,                            -- walferry created it: at the cutover it gets the source's state
  primary key (migration, kind, schema_name, table_name, name)
);
`;

/** Whether the tables above exist: steps without copySchema, or before it, find none. */
export async function hasSchemaControl(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ there: boolean }>(
    /* sql */ `select to_regclass('walferry.schema_entry') is not null as there`,
  );
  return rows[0]?.there === true;
}

/** An entry as stored in the control schema. */
export interface StoredEntry {
  readonly id: number;
  readonly phase: SchemaPhase;
  readonly kind: string;
  readonly schema: string | null;
  readonly name: string;
  readonly sql: string;
  readonly depends: readonly number[];
  /** Tables and materialized views that it depends on, as `schema.table`, its own first. */
  readonly tables: readonly string[];
  readonly refresh: boolean;
  /** SQLSTATE of the last failed attempt to fill it; null when none failed. */
  readonly refreshState: string | null;
  /** Oid of a foreign key that was added but not validated. */
  readonly added: string | null;
  readonly done: boolean;
  /** Current name of its table on the source; set for entries that source-today.ts built. */
  readonly tableToday?: TableName;
}

/** A further archive of a schema that was dumped in parts. */
export interface StoredArchive {
  /** Added to the numbers of its entries. */
  readonly offset: number;
  readonly content: Buffer;
}

export async function storeArchive(
  target: pg.ClientBase,
  migration: string,
  { offset, content }: StoredArchive,
): Promise<void> {
  await target.query(
    /* sql */ `insert into walferry.archive (migration, number_offset, content) values ($1, $2, $3)`,
    [migration, offset, content],
  );
}

/** Offsets of the further archives; none when earlier code created the control schema. */
export async function readArchiveOffsets(
  target: pg.ClientBase,
  migration: string,
): Promise<number[]> {
  const there = await target.query<{ there: boolean }>(
    /* sql */ `select to_regclass('walferry.archive') is not null as there`,
  );
  if (there.rows[0]?.there !== true) return [];
  const { rows } = await target.query<{ offset: number }>(
    /* sql */ `select number_offset as offset from walferry.archive where migration = $1 order by 1`,
    [migration],
  );
  return rows.map(({ offset }) => offset);
}

/** Reads one of the further archives. */
export async function readArchive(
  target: pg.ClientBase,
  migration: string,
  offset: number,
): Promise<Buffer> {
  const { rows } = await target.query<{ content: Buffer }>(
    /* sql */ `select content from walferry.archive where migration = $1 and number_offset = $2`,
    [migration, offset],
  );
  return rows[0]?.content ?? Buffer.alloc(0);
}

/** A message to the server may have 1 GB, a jsonb array a quarter of that. */
const ENTRIES_PER_INSERT = 2_000;

/** Writes the plan. `present` are entries that the target has already and that are not created. */
export async function storeEntries(
  target: pg.ClientBase,
  migration: string,
  entries: readonly PlannedEntry[],
  options: {
    readonly present: ReadonlySet<number>;
    readonly refresh: ReadonlySet<string>;
    /** Called with the number written so far. */
    readonly stored?: (entries: number) => void;
  },
): Promise<void> {
  const kept = entries.filter((entry) => !options.present.has(entry.id));
  const relations = new Map(
    entries.filter(({ kind }) => RELATIONS.has(kind)).map((entry) => [entry.id, entry]),
  );
  for (let at = 0; at < kept.length; at += ENTRIES_PER_INSERT) {
    await insertEntries(
      target,
      migration,
      kept.slice(at, at + ENTRIES_PER_INSERT).map((entry, i) => ({
        position: at + i,
        id: entry.id,
        source_class: entry.classOid,
        source_oid: entry.oid,
        phase: phaseOf(entry, options.present),
        kind: entry.kind,
        schema: entry.schema,
        name: entry.name,
        sql: entry.sql,
        depends: entry.dependencies,
        tables: tablesOf(entry, relations),
        refresh: entry.kind === 'MATERIALIZED VIEW' && options.refresh.has(entry.oid),
        was_empty: entry.kind === 'MATERIALIZED VIEW' && !options.refresh.has(entry.oid),
      })),
    );
    options.stored?.(at);
  }
}

async function insertEntries(
  target: pg.ClientBase,
  migration: string,
  entries: readonly object[],
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.schema_entry
      (migration, position, id, source_class, source_oid, phase, kind, schema_name, name, sql, depends, tables, refresh,
       was_empty)
    select $1, e.position, e.id, e.source_class, e.source_oid, e.phase, e.kind, e.schema, e.name, e.sql,
           array(select jsonb_array_elements_text(e.depends)::integer),
           array(select jsonb_array_elements_text(e.tables)), e.refresh, e.was_empty
      from jsonb_to_recordset($2::jsonb)
        as e(position integer, id integer, source_class oid, source_oid oid, phase text, kind text, schema text, name text, sql text,
             depends jsonb, tables jsonb, refresh boolean, was_empty boolean)`,
    [migration, JSON.stringify(entries)],
  );
}

/** Grants and comments on objects that existed before come late: an undo of the schema must not have to revert them. */
function phaseOf(entry: PlannedEntry, present: ReadonlySet<number>): SchemaPhase {
  const onPresent = entry.dependencies.some((id) => present.has(id));
  return onPresent && (entry.kind === 'ACL' || entry.kind === 'COMMENT')
    ? 'constraints'
    : entry.phase;
}

interface Row {
  id: number;
  phase: SchemaPhase;
  kind: string;
  schema_name: string | null;
  name: string;
  sql: string;
  depends: number[];
  tables: string[];
  refresh: boolean;
  refreshState: string | null;
  added: string | null;
  done: boolean;
}

/** The entries of some phases in script order; none when walferry did not create the tables. */
export async function readEntries(
  target: pg.ClientBase,
  migration: string,
  phases: readonly SchemaPhase[],
): Promise<StoredEntry[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select ${ENTRY} from walferry.schema_entry where migration = $1 and phase = any($2) order by position`,
    [migration, phases],
  );
  return rows.map(entryOf);
}

const ENTRY = /* sql */ `
  id, phase, kind, schema_name, name, sql, depends, tables, refresh, refresh_state as "refreshState",
  added::text as added, done_at is not null as done`;

function entryOf({ schema_name, ...row }: Row): StoredEntry {
  return { ...row, schema: schema_name };
}

/** The entries of a phase that are not done, or the first `most` of them, in script order. */
export async function readWaiting(
  target: pg.ClientBase,
  migration: string,
  phase: SchemaPhase,
  most: number | null = null,
): Promise<StoredEntry[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select ${ENTRY} from walferry.schema_entry
     where migration = $1 and phase = $2 and done_at is null order by position limit $3`,
    [migration, phase, most],
  );
  return rows.map(entryOf);
}

export interface EntryCounts {
  readonly total: number;
  readonly done: number;
  readonly tables: number;
}

/** How many entries each phase has, how many are done, and how many are tables. */
export async function countEntries(
  target: pg.ClientBase,
  migration: string,
): Promise<ReadonlyMap<SchemaPhase, EntryCounts>> {
  const { rows } = await target.query<EntryCounts & { phase: SchemaPhase }>(
    /* sql */ `
    select phase, count(*)::int as total, count(done_at)::int as done,
           count(*) filter (where kind = 'TABLE')::int as tables
      from walferry.schema_entry where migration = $1 group by phase`,
    [migration],
  );
  return new Map(rows.map(({ phase, ...counts }) => [phase, counts]));
}

/** Number of entries of a post-data phase, and how many are on the target; all 0 when walferry created no tables. */
export async function reportPhase(
  target: pg.ClientBase,
  migration: string,
  phase: Exclude<SchemaPhase, 'tables'>,
): Promise<IndexReport> {
  const { rows } = await target.query<Required<IndexReport>>(
    /* sql */ `
    select count(*) filter (where kind = 'INDEX')::int as indexes,
           count(*) filter (where kind like '%CONSTRAINT')::int as constraints,
           count(done_at)::int as built, count(*)::int as total
      from walferry.schema_entry where migration = $1 and phase = $2`,
    [migration, phase],
  );
  return rows[0] ?? { indexes: 0, constraints: 0, built: 0, total: 0 };
}

/**
 * Claims an entry for this transaction: marks it done, which takes effect only if the transaction commits. Waits while
 * another attempt has it claimed; false when that attempt committed.
 */
export async function claimEntry(
  target: pg.ClientBase,
  migration: string,
  id: number,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.schema_entry set done_at = now()
     where migration = $1 and id = $2 and done_at is null`,
    [migration, id],
  );
  return rowCount === 1;
}

const RELATIONS = new Set(['TABLE', 'MATERIALIZED VIEW', 'FOREIGN TABLE']);

/** A foreign key depends on two tables; its own is the one whose name is the prefix of the tag. */
function tablesOf(entry: PlannedEntry, relations: ReadonlyMap<number, PlannedEntry>): string[] {
  const found = entry.dependencies.flatMap((id) => relations.get(id) ?? []);
  const own = (table: PlannedEntry) =>
    table.schema === entry.schema && entry.name.startsWith(`${table.name} `)
      ? table.name.length
      : 0;
  found.sort((a, b) => own(b) - own(a));
  return [...new Set(found.map(({ schema, name }) => `${schema ?? ''}.${name}`))];
}

/** Name of an entry in messages: `FK CONSTRAINT order_customer_fkey on app.order`, `INDEX app.order_placed_idx`. */
export function nameEntry(entry: StoredEntry): string {
  const part = partOf(entry);
  return part === null ? describeEntry(entry) : `${entry.kind} ${part} on ${entry.tables[0] ?? ''}`;
}

/** The part's own name for constraints, triggers and other parts of a table; null for whole objects. */
export function partOf(entry: StoredEntry): string | null {
  const table = entry.tables[0];
  const prefix = `${entry.schema ?? ''}.${entry.name}`;
  return table !== undefined && prefix.startsWith(`${table} `)
    ? prefix.slice(table.length + 1)
    : null;
}
