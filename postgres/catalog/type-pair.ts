/** Compares a column's types on both sides at every depth, to find source values that mean something else on the target. Pure. */
import type { Difference } from './column-difference.ts';
import type { Relation } from './relation.ts';
import { destinationOf } from './row-destination.ts';
import type { TypeGraph, TypeNode } from './type-graph.ts';

export interface TypePair {
  readonly source: TypeNode;
  readonly target: TypeNode;
  /** Whether the type is used inside ranges: their bounds are compared on input. */
  readonly ordered: boolean;
}

export interface ColumnPair {
  readonly column: string;
  readonly pairs: readonly TypePair[];
}

/** Both sides' types, with a cache of pairs: thousands of columns may share one type. */
export class TypePairs {
  readonly source: TypeGraph;
  readonly target: TypeGraph;
  readonly #known = new Map<string, readonly TypePair[]>();

  constructor(source: TypeGraph, target: TypeGraph) {
    this.source = source;
    this.target = target;
  }

  /** Columns with user-defined types that both tables have. */
  columns(source: Pick<Relation, 'columns'>, target: Pick<Relation, 'columns'>): ColumnPair[] {
    const there = new Map(target.columns.map(({ name, typeOid }) => [name, typeOid]));
    return source.columns.flatMap(({ name, typeOid }) => {
      const other = there.get(name);
      if (other === undefined || !this.source.has(typeOid)) return [];
      return [{ column: name, pairs: this.#pairs(typeOid, other) }];
    });
  }

  #pairs(source: number, target: number): readonly TypePair[] {
    const key = `${source} ${target}`;
    const known = this.#known.get(key);
    if (known) return known;
    const found = new Map<string, TypePair>();
    this.#visit(source, target, false, found);
    const pairs = [...found.values()];
    this.#known.set(key, pairs);
    return pairs;
  }

  #visit(here: number, there: number, ordered: boolean, found: Map<string, TypePair>): void {
    const source = this.source.get(here);
    const target = this.target.get(there);
    // Built-in on one side: the text form determines the value.
    if (!source || !target) return;
    const key = `${here} ${there} ${ordered}`;
    if (found.has(key)) return;
    // A domain prints like its base type and may exist on one side only.
    if (source.kind === 'domain' || target.kind === 'domain') {
      const [inner = here] = source.kind === 'domain' ? source.inner : [];
      const [other = there] = target.kind === 'domain' ? target.inner : [];
      this.#visit(inner, other, ordered, found);
      return;
    }
    if (source.kind !== target.kind) return;
    found.set(key, { source, target, ordered });
    const within = ordered || source.kind === 'range';
    for (const [at, inner] of source.inner.entries()) {
      const other = target.inner[at];
      if (other !== undefined) this.#visit(inner, other, within, found);
    }
  }
}

/**
 * Columns whose source values would be different or invalid on the target. Additional labels on the target are accepted.
 * @param renamed oids of the source's types whose labels were renamed since the rows were copied.
 * @param bounded whether the target's table is a partition, whose bounds may name labels.
 */
export function typeDifferences(
  relation: Relation,
  columns: readonly ColumnPair[],
  renamed: ReadonlySet<number>,
  bounded: boolean,
): Difference[] {
  const { schema, name: table } = destinationOf(relation);
  return columns.flatMap(({ column, pairs }) =>
    pairs.flatMap((pair) => {
      const ordered = pair.ordered || (bounded && renamed.has(pair.source.oid));
      const what = differenceOf({ ...pair, ordered }, renamed);
      return what === null ? [] : [{ schema, table, column, what: `uses ${what}` }];
    }),
  );
}

function differenceOf(
  { source, target, ordered }: TypePair,
  renamed: ReadonlySet<number>,
): string | null {
  if (source.kind === 'enum') return labelDifference(source, target, { ordered, renamed });
  if (source.kind !== 'composite') return null;
  const [here, there] = [source.attributes, target.attributes];
  // type-form.ts compares the attributes' types.
  if (here.length !== there.length) {
    const types = [here, there].map((attributes) => attributes.map(({ type }) => type).join(', '));
    return `${source.name}, which is (${types[0]}) on the source, (${types[1]}) on the target`;
  }
  const names = [here, there].map((attributes) => attributes.map(({ name }) => name).join(', '));
  if (names[0] === names[1]) return null;
  // Values are transferred by position: reading one by name on the target would return another one.
  return `${source.name}, whose attributes are named (${names[0]}) on the source, (${names[1]}) on the target: alter type … rename attribute there`;
}

function labelDifference(
  source: TypeNode,
  target: TypeNode,
  { ordered, renamed }: { readonly ordered: boolean; readonly renamed: ReadonlySet<number> },
): string | null {
  const missing = source.labels.filter((label) => !target.labels.includes(label));
  if (missing.length > 0) {
    const action = renamed.has(source.oid)
      ? 'alter type … rename value there as on the source (add value for new labels); the table is then resynced'
      : 'alter type … add value there, in the same order';
    return `${source.name}, which lacks labels on the target that it has on the source (${missing.length}): ${action}`;
  }
  if (!ordered) return null;
  const here = new Set(source.labels);
  const common = target.labels.filter((label) => here.has(label));
  if (common.every((label, at) => label === source.labels[at])) return null;
  const action = renamed.has(source.oid)
    ? 'alter type … rename value there as on the source; the table is then resynced'
    : "recreate the type and its columns there in the source's order";
  return `${source.name}, whose labels are in a different order on the target, which ranges or partition bounds depend on: ${action}`;
}
