/**
 * What the leases of a migration exclude from the stream. A lease sets the plugin's filter at its start, and a table may match it
 * later: a partition created in a schema that was not requested, or under the name of a filtered table. Its changes are then in
 * no stream, and nothing on the source shows it. So the filter is recorded before a lease starts, partitions that the lease
 * itself skips are recorded with the position after them, and tables that enter the selection later are checked against both.
 */
import type pg from 'pg';
import * as v from 'valibot';
import type { Migration } from '../../contract/migration.ts';
import type { Relation } from '../catalog/relation.ts';
import { literalSchemas, type Selection, type TableName } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { isVisible, type ExportedSnapshot } from '../catalog/visibility.ts';
import { namedTexts } from './named-text.ts';

const schema = v.object({
  /** Requested schemas, each with the transaction id (64 bits) from which on none of its changes were excluded. */
  asked: namedTexts,
  /** Keys of tables that the plugin or a lease excludes, or once excluded, by name. */
  names: v.array(v.string()),
});
export type Withheld = v.InferOutput<typeof schema>;

/** What a lease is about to request from the plugin. */
export interface Request {
  /** Null: all schemas. */
  readonly schemas: readonly string[] | null;
  readonly without: readonly TableName[];
  /** The source's next transaction id at the start of the lease: later writes are read by this lease or a later one. */
  readonly from: string;
}

/** Null before the first lease: until then nothing can have been excluded. */
export async function readWithheld(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Withheld | null> {
  const { rows } = await target.query<{ withheld: unknown }>(
    /* sql */ `select withheld from walferry.migration where id = $1`,
    [migration.id],
  );
  return v.parse(v.nullable(schema), rows[0]?.withheld ?? null);
}

/** To be committed before the lease receives anything. */
export async function storeWithheld(
  target: pg.ClientBase,
  migration: Migration,
  withheld: Withheld,
): Promise<void> {
  await target.query(/* sql */ `update walferry.migration set withheld = $2 where id = $1`, [
    migration.id,
    JSON.stringify(withheld),
  ]);
}

/** The record once a lease with this request has started; the same object if nothing is new. Pure. */
export function addRequest(before: Withheld | null, request: Request): Withheld {
  const asked = before?.asked ?? {};
  const fresh = (request.schemas ?? []).filter((name) => !Object.hasOwn(asked, name));
  const known = new Set(before?.names);
  const names = request.without.map(keyOfName).filter((name) => !known.has(name));
  if (before !== null && fresh.length === 0 && names.length === 0) return before;
  // The first lease starts at the slot's consistent point.
  const since = before === null ? '0' : request.from;
  return {
    asked: { ...asked, ...Object.fromEntries(fresh.map((name) => [name, since])) },
    names: [...known, ...names],
  };
}

/** Adds tables whose changes a lease itself has skipped: they may be selected later. Pure. */
export function addLeft(before: Withheld | null, tables: readonly TableName[]): Withheld {
  return {
    asked: before?.asked ?? {},
    names: [...new Set([...(before?.names ?? []), ...tables.map(keyOfName)])],
  };
}

/**
 * Whether the leases so far received every change of a table that was created in its place and never had another name. Pure.
 * @param copy of the tree that the table joins. If its snapshot saw the table, the table was not selected then (a member of an
 *   extension, for example), and its earlier rows are in no stream.
 */
export function sentWhole(
  withheld: Withheld | null,
  selection: Selection,
  relation: Pick<Relation, 'schema' | 'name' | 'viaRoot'>,
  copy: ExportedSnapshot | undefined,
): boolean {
  if (copy && !wasCreatedAfter(copy, relation)) return false;
  if (withheld === null) return true;
  if (withheld.names.includes(keyOfName(relation))) return false;
  const always = literalSchemas(selection);
  // The input does not change: every request included these.
  if (always === null || always.includes(relation.schema)) return true;
  const since = Object.hasOwn(withheld.asked, relation.schema)
    ? withheld.asked[relation.schema]
    : undefined;
  const bornAt = relation.viaRoot?.bornAt ?? null;
  return since !== undefined && bornAt !== null && BigInt(bornAt) >= BigInt(since);
}

function wasCreatedAfter(copy: ExportedSnapshot, { viaRoot }: Pick<Relation, 'viaRoot'>): boolean {
  const created = viaRoot?.bornAt ?? null;
  return created !== null && !isVisible(Number(BigInt.asUintN(32, BigInt(created))), copy);
}
