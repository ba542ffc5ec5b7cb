/**
 * Compares types by their parts: types with the same name can differ in the base type or the modifier of a domain, an attribute,
 * an element or a subtype, and the target then rounds or truncates values without an error. Pure.
 */
import type { Column, Relation } from './relation.ts';
import type { TypeGraph, TypeNode } from './type-graph.ts';

/** One use of a type: by a column, an attribute, a domain. */
export interface TypeUse {
  readonly graph: TypeGraph;
  readonly oid: number;
  readonly name: string;
}

export function useOf(
  { typeOid, typeName }: Pick<Column, 'typeOid' | 'typeName'>,
  { types }: Pick<Relation, 'types'>,
): TypeUse {
  return { graph: types, oid: typeOid, name: typeName };
}

/**
 * The first difference, as text that follows the column's name, or null. Compares the parts of types, not their names: a domain
 * may exist on one side only. Enum labels and the number of a composite's attributes are compared in type-pair.ts: there the
 * target raises an error for values that it cannot store.
 */
export function compareForms(source: TypeUse, target: TypeUse): string | null {
  // Covers nearly all columns: with a hundred thousand tables this must finish between two heartbeats.
  if (source.name === target.name && isBase(source) && isBase(target)) return null;
  return compare(source, target, source.name, new Set());
}

/** @param owner named in the message: the innermost domain, attribute or range on the path. */
function compare(
  source: TypeUse,
  target: TypeUse,
  owner: string,
  seen: Set<string>,
): string | null {
  // Row types of wide tables repeat the same types many times, at every level.
  const pair = JSON.stringify([source.oid, source.name, target.oid, target.name]);
  if (seen.has(pair)) return null;
  seen.add(pair);
  const [here, there] = [belowDomains(source), belowDomains(target)];
  const named = here.domain ?? there.domain ?? owner;
  const [a, b] = [here.graph.get(here.oid), there.graph.get(there.oid)];
  if (a && b && a.kind === b.kind && a.kind !== 'base') {
    if (a.inner.length !== b.inner.length) return null;
    for (const at of a.inner.keys()) {
      const difference = compare(
        part(here, a, at),
        part(there, b, at),
        ownerOf(a, at, named),
        seen,
      );
      if (difference !== null) return difference;
    }
    return null;
  }
  const [one, other] = [render(here), render(there)];
  if (one === other) return null;
  return `uses ${named}, which is ${one} on the source, ${other} on the target, where values may be rounded or truncated: recreate the type and its columns there as on the source`;
}

function isBase({ graph, oid }: TypeUse): boolean {
  const node = graph.get(oid);
  return !node || node.kind === 'base';
}

function ownerOf({ kind, name, attributes }: TypeNode, at: number, named: string): string {
  if (kind === 'composite') return `attribute ${attributes[at]?.name ?? at + 1} of ${name}`;
  return kind === 'range' ? `the subtype of ${name}` : named;
}

/** The type below all domains, and the innermost domain, which alone carries the modifier. */
function belowDomains(use: TypeUse): TypeUse & { readonly domain: string | null } {
  let domain: string | null = null;
  let now = use;
  for (;;) {
    const node = now.graph.get(now.oid);
    if (node?.kind !== 'domain') return { ...now, domain };
    domain = node.name;
    now = part(now, node, 0);
  }
}

function part(use: TypeUse, node: TypeNode, at: number): TypeUse {
  // Elements have the modifier of the array; the catalog does not repeat it.
  const name = node.kind === 'array' ? use.name.replace(/\[\]$/, '') : node.innerNames[at];
  return { graph: use.graph, oid: node.inner[at] ?? 0, name: name ?? '' };
}

/** Describes the value's type without domains, so that an array of a domain equals an array of its base type. */
function render(use: TypeUse): string {
  const below = belowDomains(use);
  const node = below.graph.get(below.oid);
  if (node?.kind === 'array') return `${render(part(below, node, 0))}[]`;
  return !node || node.kind === 'base' ? below.name : `${node.kind} ${node.name}`;
}
