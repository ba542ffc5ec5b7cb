/** The table mappings of a lease, from the plan and the drift check. */
import type { PlannedRelation } from '../apply/change.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { ExportedSnapshot } from '../catalog/visibility.ts';
import type { DriftCheck } from '../drift/drift-check.ts';
import type { Followed } from '../drift/follow.ts';
import { TableMappings, type TableMapping } from '../drift/table-mapping.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import { copiedBy } from './already-copied.ts';

const BYTEA_OID = 17;

/** Mappings of all followed tables; partitioned and unlogged tables are excluded. */
export function mappingsOf(
  rows: readonly PlannedRelationRow[],
  { followed, fingerprints, unlogged, intervals }: DriftCheck,
  snapshots: readonly ExportedSnapshot[],
): TableMappings {
  const byNumber = new Map(snapshots.map((pass) => [pass.number, pass]));
  const mappings = new TableMappings();
  for (const row of rows) {
    // A partitioned table holds no rows; a TRUNCATE lists it together with its leaves, which are enough.
    if (row.kind !== 'p' && !unlogged.has(row.id)) continue;
    const { schema, name } = row;
    mappings.leave({ schema, name, fingerprint: fingerprints.get(keyOfName(row)) ?? null });
  }
  for (const one of followed) {
    const { row } = one;
    if (row.pass === null) continue;
    const mapping = mappingOf(one, byNumber.get(row.pass), intervals.get(row.id));
    mappings.set(row.schema, row.name, mapping);
    // All partitions via root share one exported snapshot: whether it includes a TRUNCATE of the root is the same for each.
    if (row.viaRoot)
      mappings.set(row.viaRoot.schema, row.viaRoot.name, rootMapping(row.viaRoot, mapping));
  }
  return mappings;
}

/** The root itself receives only TRUNCATEs, so its row shape has no columns. */
function rootMapping({ schema, name }: TableName, { copied }: TableMapping): TableMapping {
  return {
    relation: { schema, name, key: null, columns: [], full: false },
    before: null,
    rowShapes: [{ columns: [], names: new Map(), fills: [] }],
    bytea: new Set(),
    intervals: new Set(),
    disguised: new Map(),
    copied,
  };
}

function mappingOf(
  { source, target, rowShapes, key, disguised }: Followed,
  pass: ExportedSnapshot | undefined,
  intervals: ReadonlySet<string> = new Set(),
): TableMapping {
  const bytea = source.columns.filter(({ baseTypeOid }) => baseTypeOid === BYTEA_OID);
  const relation = plannedRelation(source, target, key);
  // A key that covers the whole row is not FULL: as long as the key is unchanged, a change that matches two rows is an error.
  const changed = relation.full || (key === null && source.key !== null);
  return {
    relation,
    before: changed ? { ...relation, full: !relation.full } : null,
    rowShapes,
    bytea: new Set(bytea.map(({ name }) => name)),
    intervals,
    disguised,
    copied: copiedBy(pass),
  };
}

function plannedRelation(
  source: Relation,
  target: Relation,
  key: readonly string[] | null,
): PlannedRelation {
  const through = source.viaRoot;
  return {
    schema: source.schema,
    name: source.name,
    // A target schema that walferry did not create may lack the key: then rows are found by the columns that the source sends.
    // A root with other partitions has another key; the source's key is used only if it is unique in the whole tree.
    key: (through ? through.uniqueKey : hasColumnsOf(key, target.key)) ? key : null,
    full: source.identity === 'f',
    ...(through && {
      destination: { schema: through.schema, name: through.name },
      ...(through.bounds !== null && { bounds: through.bounds }),
    }),
    columns: source.columns.map((column) => ({
      name: column.name,
      typeName: column.typeName,
      baseTypeName: column.baseTypeName,
      notNull: column.notNull,
      generated: column.generated,
      identity: column.identity,
    })),
  };
}

function hasColumnsOf(a: readonly string[] | null, b: readonly string[] | null): boolean {
  if (a === null || b === null || a.length !== b.length) return false;
  return a.every((name) => b.includes(name));
}
