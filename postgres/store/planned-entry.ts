/** Stores the entries of a planned schema, in the transaction that registers the migration. */
import type pg from 'pg';
import type { PlannedEntry, SchemaPhase } from '../archive/entry-phase.ts';

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
