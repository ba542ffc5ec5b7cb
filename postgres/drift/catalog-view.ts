/**
 * A digest of everything in a plan that decides how a change is applied to the target. Plans with equal digests are
 * interchangeable.
 */
import { createHash } from 'node:crypto';
import type { SchemaRows } from '../catalog/schema-row.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import type { ExportedSnapshot } from '../catalog/visibility.ts';
import type { DriftCheck } from './drift-check.ts';
import type { TableMappings } from './table-mapping.ts';

/** Takes some tens of milliseconds. */
const TABLES_PER_TURN = 1_000;

/** @param turn awaited between groups of tables. */
export async function viewOf({
  rows,
  checked,
  mappings,
  snapshots,
  schemas,
  schemaRows,
  turn,
}: {
  readonly rows: readonly PlannedRelationRow[];
  readonly checked: DriftCheck;
  readonly mappings: Pick<TableMappings, 'get'>;
  readonly snapshots: readonly ExportedSnapshot[];
  readonly schemas: readonly string[] | null;
  readonly schemaRows: SchemaRows;
  readonly turn: (tables: number) => Promise<void>;
}): Promise<string> {
  const { fingerprints, types, unlogged, insertOnly } = checked;
  // Queries return tables in any order.
  const parts: string[] = [];
  for (const [at, { id, oid, schema, name, kind, pass, viaRoot }] of rows.entries()) {
    if (at % TABLES_PER_TURN === 0) await turn(at);
    const mapping = mappings.get(schema, name);
    const accepted = [unlogged.has(id), insertOnly.has(id)];
    parts.push(digest([id, oid, schema, name, kind, pass, viaRoot, accepted, mapping ?? null]));
  }
  for (const [table, fingerprint] of fingerprints) {
    parts.push(digest([table, fingerprint, types.byTable.get(table) ?? []]));
  }
  parts.push(digest(sorted(types.fingerprints)), digest(sorted(schemaRows)));
  parts.push(digest([schemas?.toSorted() ?? null, snapshots]));
  return digest(parts.sort());
}

function sorted(entries: ReadonlyMap<string | number, unknown>): string[] {
  return [...entries].map((entry) => text(entry)).sort();
}

function digest(value: unknown): string {
  return createHash('sha256').update(text(value)).digest('base64');
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Map || part instanceof Set) {
      const entries: unknown[] = [...part];
      return entries;
    }
    return typeof part === 'bigint' ? part.toString() : part;
  });
}
