/**
 * The entries of the archive that belong to the migration, in the control schema: with their SQL, so that a worker without client
 * programs can continue, and a mark on each that was run.
 */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import { describeEntry } from '../archive/archive.ts';
import type { SchemaPhase } from '../archive/entry-phase.ts';

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

/** Kinds of these entries, as far as the migration creates them with its tables. */
export async function readKinds(
  target: pg.ClientBase,
  migration: string,
  ids: readonly number[],
): Promise<Pick<StoredEntry, 'id' | 'kind'>[]> {
  const { rows } = await target.query<Pick<StoredEntry, 'id' | 'kind'>>(
    /* sql */ `
    select id, kind from walferry.schema_entry
     where migration = $1 and phase = 'tables' and id = any($2::integer[])`,
    [migration, ids],
  );
  return rows;
}

/** Sequences that walferry created on the target, in any schema. */
export async function readCreatedSequences(
  target: pg.ClientBase,
  migration: string,
): Promise<{ readonly schema: string; readonly name: string }[]> {
  const { rows } = await target.query<{ schema: string; name: string }>(
    /* sql */ `
    select schema_name as schema, name from walferry.schema_entry where migration = $1 and kind = 'SEQUENCE'`,
    [migration],
  );
  return rows;
}

/** An object of the source's catalogs. */
export interface SourceObject {
  readonly class: string;
  readonly oid: string;
}

/** The objects on the source that these entries were dumped from; parts without an object of their own have class 0, or no row. */
export async function readSourceObjects(
  target: pg.ClientBase,
  migration: string,
  ids: readonly number[],
): Promise<(SourceObject & { readonly id: number })[]> {
  const { rows } = await target.query<SourceObject & { id: number }>(
    /* sql */ `
    select id, source_class::text as class, source_oid::text as oid from walferry.schema_entry
     where migration = $1 and id = any($2) and source_oid <> 0`,
    [migration, ids],
  );
  return rows;
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

/** Schema and tag of everything that walferry creates on the target. */
export async function readCreatedEntries(
  target: pg.ClientBase,
  migration: string,
): Promise<{ readonly schema: string | null; readonly name: string }[]> {
  const { rows } = await target.query<{ schema: string | null; name: string }>(
    /* sql */ `select schema_name as schema, name from walferry.schema_entry where migration = $1`,
    [migration],
  );
  return rows;
}
