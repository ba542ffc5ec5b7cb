/** Which tables are compared with which, by which columns. Pure. */
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { charColumns, printsCharsUnlike, type Majors } from '../catalog/version-form.ts';
import type { TableState } from '../../contract/table-state.ts';
import type { TableShape } from '../store/verification-shape.ts';

/** A table of the target with the tables of the source whose rows it holds. */
export interface Comparison {
  readonly destination: TableName;
  readonly source: readonly Relation[];
  /** The target's table, or the partitions that hold its rows; empty if it is missing. */
  readonly target: readonly Relation[];
}

/** What is read of both sides under one state. */
export interface BothSides {
  /** Selected tables of the source. */
  readonly found: readonly Relation[];
  /** The target's tables of their names. */
  readonly counterparts: readonly Relation[];
  /** Of the target's partitioned tables: all that hold rows, by the root's name. */
  readonly leaves: ReadonlyMap<string, readonly Relation[]>;
}

/** Groups the source's tables by the target's table for their rows. */
export function comparisonsOf({ found, counterparts, leaves }: BothSides): Comparison[] {
  const there = new Map(counterparts.map((one) => [keyOfName(one), one]));
  const groups = new Map<string, { destination: TableName; source: Relation[] }>();
  for (const relation of found) {
    if (relation.kind !== 'r') continue;
    const destination = destinationOf(relation);
    const group = groups.get(keyOfName(destination)) ?? { destination, source: [] };
    group.source.push(relation);
    groups.set(keyOfName(destination), group);
  }
  return [...groups].map(([key, { destination, source }]) => {
    const one = there.get(key);
    const target = one?.kind === 'p' ? (leaves.get(key) ?? []) : one ? [one] : [];
    return { destination, source, target };
  });
}

/** Why a table cannot be compared now; null: it can. */
export function obstacle(
  { source, target }: Comparison,
  stateOf: (relation: TableName) => TableState | undefined,
): string | null {
  if (target.length === 0) return 'is missing on the target';
  for (const relation of source) {
    const state = stateOf(relation);
    if (state === undefined) return `${nameOf(relation)} has not been copied yet`;
    if (state !== 'ready') return `${nameOf(relation)} is ${state}`;
  }
  const columns = new Set(target[0]?.columns.map(({ name }) => name));
  const lacking = source[0]?.columns.find(({ name }) => !columns.has(name));
  return lacking === undefined ? null : `column ${lacking.name} is missing on the target`;
}

/** What is compared of a table without an {@link obstacle}. */
export function shapeOf({ source, target }: Comparison, majors: Majors): TableShape {
  const [first] = source;
  const columns = first?.columns.map(({ name }) => name) ?? [];
  const unlike = new Set(printsCharsUnlike(majors) ? source.flatMap(charColumns) : []);
  const known = new Set(columns);
  const further = target[0]?.columns.filter(({ name }) => !known.has(name)) ?? [];
  return {
    source: source.map(({ schema, name }) => ({ schema, name })),
    target: target.map(({ schema, name }) => ({ schema, name })),
    // In an order that both sides can agree on without each other: by bytes.
    columns: columns.filter((name) => !unlike.has(name)).sort(),
    key: commonKey(source, unlike),
    notCompared: [
      ...[...unlike].map(
        (name) => `${name}: "char" prints differently on ${majors.source} and ${majors.target}`,
      ),
      ...further.map(({ name }) => `${name}: exists only on the target`),
    ],
  };
}

/** The key that all parts have. It need not be unique across them: rows with equal keys are counted. */
function commonKey(
  source: readonly Relation[],
  unlike: ReadonlySet<string>,
): readonly string[] | null {
  const [first, ...others] = source.map(({ key }) => key);
  if (!first || first.some((name) => unlike.has(name))) return null;
  const text = JSON.stringify([...first].sort());
  return others.every((key) => key && JSON.stringify([...key].sort()) === text) ? first : null;
}
