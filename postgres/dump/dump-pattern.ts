/**
 * Name patterns for pg_dump's options. Pure. The operating system limits the number and length of process arguments, and a
 * hundred thousand names do not fit: use the fewest patterns that tell them apart from all other names.
 */
import { grouped } from '../../contract/grouped.ts';
import type { TableName } from '../catalog/selection.ts';

/** For `--table`: matches exactly this table. */
export function exactPattern({ schema, name }: TableName): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** Schemas per pattern; each is a branch of a regular expression on the server. */
const SCHEMAS_PER_PATTERN = 100;

/**
 * Patterns for `--exclude-table` that match all of `names` and none of `others`.
 * @param names of relations; together with `others` all relations of the database.
 */
export function coveringPatterns(
  names: readonly TableName[],
  others: readonly TableName[],
): string[] {
  const there = bySchema(names);
  const rest = bySchema(others);
  // Schemas with the same tables (one per tenant) share their patterns.
  const alike = grouped(there.keys(), (schema) =>
    cover(there.get(schema) ?? [], rest.get(schema) ?? [], '').join('\n'),
  );
  return [...alike].flatMap(([parts, schemas]) =>
    // No other relations in these schemas: it is enough to match the schemas.
    (parts === '*'
      ? cover(schemas, schemasWithout(rest, there, schemas), '')
      : branches(schemas)
    ).flatMap((schema) => parts.split('\n').map((part) => `${schema}.${part}`)),
  );
}

/** Other schemas that have relations. */
function schemasWithout(
  rest: ReadonlyMap<string, unknown>,
  there: ReadonlyMap<string, unknown>,
  schemas: readonly string[],
): string[] {
  const ours = new Set(schemas);
  return [...new Set([...rest.keys(), ...there.keys()])].filter((one) => !ours.has(one));
}

function branches(schemas: readonly string[]): string[] {
  const parts: string[] = [];
  for (let at = 0; at < schemas.length; at += SCHEMAS_PER_PATTERN) {
    const some = schemas.slice(at, at + SCHEMAS_PER_PATTERN).map(quoted);
    parts.push(some.length === 1 ? (some[0] ?? '') : `(${some.join('|')})`);
  }
  return parts;
}

/** Prefixes; whole names where other names continue them. */
function cover(names: readonly string[], others: readonly string[], prefix: string): string[] {
  if (names.length === 0) return [];
  if (others.length === 0) return [prefix === '' ? '*' : `${quoted(prefix)}*`];
  const next = (list: readonly string[]) =>
    grouped(list, (name) => {
      const next = name.codePointAt(prefix.length);
      return next === undefined ? '' : String.fromCodePoint(next);
    });
  const rest = next(others);
  return [...next(names)].flatMap(([character, group]) =>
    character === ''
      ? [quoted(prefix)]
      : cover(group, rest.get(character) ?? [], prefix + character),
  );
}

function bySchema(tables: readonly TableName[]): Map<string, string[]> {
  const schemas = grouped(tables, ({ schema }) => schema);
  return new Map([...schemas].map(([schema, some]) => [schema, some.map(({ name }) => name)]));
}

/** Within quotes every character is literal. */
function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
