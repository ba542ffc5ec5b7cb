/** In which step of a migration each entry of an archive runs. Pure. */
import type { ArchiveEntry } from './archive.ts';
import { overAll } from './yielding-work.ts';

/** `tables` before the rows; `indexes` right after them; `constraints` once the target is consistent. */
export type SchemaPhase = 'tables' | 'indexes' | 'constraints';

export interface PlannedEntry extends ArchiveEntry {
  readonly phase: SchemaPhase;
}

export const TABLES = new Set(['TABLE', 'FOREIGN TABLE']);

const INDEX_PHASE = new Set([
  'INDEX',
  'CONSTRAINT',
  'CHECK CONSTRAINT',
  'INDEX ATTACH',
  'STATISTICS',
  'COMMENT',
]);

/**
 * Entries that selected tables need at creation, in whatever section pg_dump puts them: a default that calls a BEGIN ATOMIC
 * function that groups by a primary key needs that key before its table.
 */
function neededEarly(kept: readonly ArchiveEntry[]): ReadonlySet<number> {
  const byId = new Map(kept.map((entry) => [entry.id, entry]));
  const early = new Set<number>();
  const open = kept.filter(({ kind }) => TABLES.has(kind) || kind === 'TABLE ATTACH');
  for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
    if (early.has(entry.id)) continue;
    early.add(entry.id);
    open.push(...entry.dependencies.flatMap((id) => byId.get(id) ?? []));
  }
  return early;
}

export function* withPhases(kept: readonly ArchiveEntry[]): Generator<void, PlannedEntry[]> {
  const phases = new Map<number, SchemaPhase>();
  const early = neededEarly(kept);
  yield;
  const planned: PlannedEntry[] = [];
  yield* overAll(kept, (entry) => {
    let phase: SchemaPhase = 'tables';
    if (early.has(entry.id)) {
      // Stays in `tables`: rows are copied only into tables that exist.
    } else if (entry.section === 'post') {
      // An entry that depends on a late one (an index on a postponed materialized view) is late itself.
      const late = entry.dependencies.some((id) => phases.get(id) === 'constraints');
      phase = INDEX_PHASE.has(entry.kind) && !late ? 'indexes' : 'constraints';
    } else if (entry.dependencies.some((id) => phases.get(id) === 'constraints')) {
      phase = 'constraints'; // pg_restore lists grants and comments at their object's place
    } else if (entry.dependencies.some((id) => phases.get(id) === 'indexes')) {
      phase = 'indexes';
    }
    phases.set(entry.id, phase);
    planned.push({ ...entry, phase });
  });
  return planned;
}
