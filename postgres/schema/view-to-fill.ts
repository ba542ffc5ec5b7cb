/** Which materialized views are to be filled, in which order, and which the operator excluded. */
import pg from 'pg';
import { nameEntry, type StoredEntry } from '../store/schema-entry.ts';
import type { Task } from './run-tasks.ts';

export interface RefreshTask extends Task {
  readonly view: StoredEntry;
}

/** Views to fill whose names no longer exist on the target. */
export async function findGone(
  target: pg.ClientBase,
  all: readonly StoredEntry[],
): Promise<ReadonlySet<number>> {
  const wanted = all.filter(({ refresh }) => refresh);
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select w.id from unnest($1::int[], $2::text[]) as w (id, name)
     where not exists (select from pg_catalog.pg_class c where c.oid = to_regclass(w.name) and c.relkind = 'm')`,
    [wanted.map(({ id }) => id), wanted.map(sqlName)],
  );
  return new Set(rows.map(({ id }) => id));
}

/** Describes a view that the operator excluded; empty for all others. */
export function skip(view: StoredEntry, gone: ReadonlySet<number>): string[] {
  if (gone.has(view.id)) return [`${nameEntry(view)} (no longer on the target)`];
  if (view.refresh || view.refreshState === null) return [];
  return [`${nameEntry(view)} (excluded after SQLSTATE ${view.refreshState})`];
}

export function sqlName({ schema, name }: StoredEntry): string {
  return `${pg.escapeIdentifier(schema ?? '')}.${pg.escapeIdentifier(name)}`;
}

/** One task per view; each depends on the views that it reads, also through ordinary views. */
export function refreshTasks(all: readonly StoredEntry[]): RefreshTask[] {
  const byId = new Map(all.map((entry) => [entry.id, entry]));
  return all
    .filter(({ refresh }) => refresh)
    .map((view) => ({
      id: view.id,
      depends: [...below(view, byId)],
      tables: [],
      exclusive: false,
      weight: 0,
      label: nameEntry(view),
      view,
    }));
}

function below(view: StoredEntry, byId: ReadonlyMap<number, StoredEntry>): Set<number> {
  const found = new Set<number>();
  const open = [...view.depends];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    // A view may depend on its own rule, which pg_dump writes separately.
    if (found.has(id) || id === view.id) continue;
    found.add(id);
    open.push(...(byId.get(id)?.depends ?? []));
  }
  return found;
}
