/**
 * Records the parts of a table's column types when its rows are copied, and checks that texts in the stream still mean the same.
 * Pure.
 *
 * Renaming a label changes every stored value, and a change may carry the old or the new text: only a copy under a later snapshot
 * shows the current meaning of each row. The same applies to dropped attributes. Added labels and attributes change no row.
 */
import type { ColumnPair } from './type-pair.ts';
import { reachable, type TypeGraph, type TypeNode } from './type-graph.ts';

export interface RecordedType {
  /** As in TypeNode; for an enum on the target, without later labels that the source does not have. */
  readonly parts: readonly string[];
  /** Whether parts, or the whole type, were added after the copy. */
  readonly grown: boolean;
}

export interface RecordedTypes {
  readonly source: Readonly<Record<string, RecordedType>>;
  readonly target: Readonly<Record<string, RecordedType>>;
}

export interface TypeDrift {
  /** Why the table needs a resync, as text that follows its name; null if it does not. */
  readonly again: string | null;
  /** Types of the source whose labels were renamed, or whose attributes were dropped. */
  readonly altered: ReadonlySet<number>;
  /** The new record, to be stored before anything else is applied; null if unchanged. */
  readonly record: RecordedTypes | null;
}

/** The record for a table that is assigned to an exported snapshot. */
export function recordTypes(
  columns: readonly ColumnPair[],
  graphs: { readonly source: TypeGraph; readonly target: TypeGraph },
): RecordedTypes {
  const nodes = nodesOf(columns, graphs);
  const record = (side: readonly TypeNode[]): Record<string, RecordedType> =>
    Object.fromEntries(side.map(({ oid, parts }) => [oid, { parts, grown: false }]));
  return { source: record(nodes.source), target: record(nodes.target) };
}

/** @param before the stored record; undefined if an older version stored none, so earlier changes are unknown. */
export function checkTypes(
  before: RecordedTypes | undefined,
  columns: readonly ColumnPair[],
  graphs: { readonly source: TypeGraph; readonly target: TypeGraph },
): TypeDrift {
  if (before === undefined) {
    return { again: null, altered: new Set(), record: recordTypes(columns, graphs) };
  }
  const nodes = nodesOf(columns, graphs);
  const altered = nodes.source.filter((node) => !continues(before.source[node.oid], node));
  const there = nodes.target.filter((node) => !continues(before.target[node.oid], node));
  const record: RecordedTypes = {
    source: grow(before.source, nodes.source, (_, part) => part !== undefined),
    target: grow(before.target, nodes.target, (node, _, at) => isShared(columns, node, at)),
  };
  const late = lateLabels(columns, record);
  return {
    again: reason(altered, there, late),
    altered: new Set(altered.map(({ oid }) => oid)),
    record: sameTypes(record, before) ? null : record,
  };
}

/**
 * Whether labels were renamed or attributes dropped since the types were recorded, so that values may have another meaning. Pure.
 */
export function isAltered(
  before: RecordedTypes | undefined,
  columns: readonly { readonly typeOid: number }[],
  graph: TypeGraph,
): boolean {
  const nodes = reachable(
    graph,
    columns.map(({ typeOid }) => typeOid),
  );
  return nodes.some((node) => !continues(before?.source[node.oid], node));
}

function reason(
  altered: readonly TypeNode[],
  there: readonly TypeNode[],
  late: TypeNode | null,
): string | null {
  const [here = undefined] = altered;
  if (here) return `uses ${here.name}, whose ${changed(here)} on the source`;
  const [other = undefined] = there;
  if (other) return `uses ${other.name}, whose ${changed(other)} on the target`;
  if (late)
    return `may contain labels of ${late.name} on the target that its rows lack on the source`;
  return null;
}

function changed({ kind }: TypeNode): string {
  return kind === 'enum' ? 'labels were renamed' : 'parts were dropped or replaced';
}

/** Whether there were only additions since the record. */
function continues(before: RecordedType | undefined, { kind, parts }: TypeNode): boolean {
  if (before === undefined) return true;
  if (kind === 'enum') {
    const now = new Set(parts);
    return before.parts.every((part) => now.has(part));
  }
  // Attributes are added at the end. One that was added and dropped again may have had values.
  const added = parts.slice(before.parts.length);
  return (
    before.parts.every((part, at) => part === parts[at]) && !added.some((part) => isDropped(part))
  );
}

function isDropped(part: string): boolean {
  return part.split(':')[1] === '0';
}

function grow(
  before: Readonly<Record<string, RecordedType>>,
  nodes: readonly TypeNode[],
  counts: (node: TypeNode, part: string | undefined, at: number) => boolean,
): Record<string, RecordedType> {
  return Object.fromEntries(
    nodes.map((node) => {
      const { oid, kind, parts } = node;
      const known = before[oid];
      // The type may have come with a later column; changes before that are unknown.
      if (known === undefined) return [oid, { parts, grown: true }];
      if (kind !== 'enum')
        return [oid, { parts, grown: known.grown || parts.length > known.parts.length }];
      const recorded = new Set(known.parts);
      const added = parts.filter((part, at) => !recorded.has(part) && counts(node, part, at));
      // In order of arrival; otherwise every drift check would rewrite the record.
      return [oid, { parts: [...known.parts, ...added], grown: known.grown || added.length > 0 }];
    }),
  );
}

/** Whether the source has the label at this position of the target's enum. */
function isShared(columns: readonly ColumnPair[], node: TypeNode, at: number): boolean {
  const label = node.labels[at];
  return columns.some(({ pairs }) =>
    pairs.some(({ source, target }) => {
      return target.oid === node.oid && label !== undefined && source.labels.includes(label);
    }),
  );
}

/** Not by comparing JSON: the database returns an object's keys in a different order. */
function sameTypes(a: RecordedTypes, b: RecordedTypes): boolean {
  const lines = ({ source, target }: RecordedTypes): string[] =>
    [source, target].flatMap((side, at) =>
      Object.entries(side).map(
        ([oid, { parts, grown }]) => `${at} ${oid} ${grown} ${parts.join()}`,
      ),
    );
  const known = new Set(lines(b));
  const now = lines(a);
  return now.length === known.size && now.every((line) => known.has(line));
}

/**
 * The target's type with a later label that the source does not have, while the source got other labels: changes may have written
 * it before the source renamed it.
 */
function lateLabels(columns: readonly ColumnPair[], record: RecordedTypes): TypeNode | null {
  for (const { pairs } of columns) {
    for (const { source, target } of pairs) {
      if (source.kind !== 'enum' || record.source[source.oid]?.grown !== true) continue;
      const known = new Set(record.target[target.oid]?.parts);
      const late = target.parts.some((part, at) => {
        const label = target.labels[at];
        return !known.has(part) && label !== undefined && !source.labels.includes(label);
      });
      if (late) return target;
    }
  }
  return null;
}

function nodesOf(
  columns: readonly ColumnPair[],
  graphs: { readonly source: TypeGraph; readonly target: TypeGraph },
): { readonly source: TypeNode[]; readonly target: TypeNode[] } {
  const pairs = columns.flatMap((column) => column.pairs);
  return {
    source: reachable(graphs.source, [...new Set(pairs.map(({ source }) => source.oid))]),
    target: reachable(graphs.target, [...new Set(pairs.map(({ target }) => target.oid))]),
  };
}
