/**
 * Where the rows of a source table are on the target: in the table of the same name or, for partitioned tables that the input
 * names (`tables.viaPartitionRoot`), in the one table with the root's name that the operator created there. All code that needs a
 * table's counterpart uses {@link destinationOf}.
 *
 * Such a tree is one unit: all its rows are copied under one exported snapshot. With two, a row that moved between partitions in
 * the meantime would arrive twice in the target's table.
 */
import type pg from 'pg';
import { meansOtherRows, readPartitionKeys } from './partition-key.ts';
import type { Relation, ViaRoot } from './relation.ts';
import { compileSelection, type TableName } from './selection.ts';
import { keyOfName } from './table-name.ts';

/** The target table for the rows of a source table. */
export function destinationOf(
  relation: TableName & { readonly viaRoot: TableName | null },
): TableName {
  const { schema, name } = relation.viaRoot ?? relation;
  return { schema, name };
}

export function destinationsOf(
  relations: readonly (TableName & { readonly viaRoot: TableName | null })[],
): TableName[] {
  return [...new Map(relations.map(destinationOf).map((one) => [keyOfName(one), one])).values()];
}

export function isViaRoot(relation: TableName & { readonly viaRoot: TableName | null }): boolean {
  return relation.viaRoot !== null && keyOfName(relation.viaRoot) === keyOfName(relation);
}

type Found = Omit<Relation, 'viaRoot'> & { readonly keyIndex: number | null };

/**
 * Sets for each relation the root that it goes through.
 * @param found includes all selected ancestors; the session has an empty search_path.
 */
export async function assignRoots(
  client: pg.ClientBase,
  found: readonly Found[],
  patterns: readonly string[],
): Promise<Relation[]> {
  const named = compileSelection({ include: patterns, exclude: [] });
  const byOid = new Map(found.map((relation) => [relation.oid, relation]));
  const rootOf = (relation: Found): Found | null => {
    if (!relation.isPartition)
      return relation.kind === 'p' && named.includes(relation) ? relation : null;
    const parent = relation.parentOid === null ? undefined : byOid.get(relation.parentOid);
    return parent ? rootOf(parent) : null;
  };
  const roots = new Map(found.map((relation) => [relation.oid, rootOf(relation)]));
  const keys = await readPartitionKeys(
    client,
    found.flatMap(({ oid, kind }) => (kind === 'p' && roots.get(oid) ? [oid] : [])),
  );
  const vague = new Set(keys.filter(meansOtherRows).map(keyOfName));
  const isVague = ({ parentOid }: Found): boolean => {
    const parent = parentOid === null ? undefined : byOid.get(parentOid);
    return parent !== undefined && (vague.has(keyOfName(parent)) || isVague(parent));
  };
  const places = await readPlaces(
    client,
    found.flatMap(({ oid, keyIndex }) => {
      const root = roots.get(oid);
      return root ? [{ oid, keyIndex, root: root.oid }] : [];
    }),
  );
  return found.map((one) => {
    const { keyIndex: _, ...relation } = one;
    const root = roots.get(relation.oid);
    const place = places.get(relation.oid);
    // After the first transaction of DETACH CONCURRENTLY it is no longer a partition for new snapshots.
    if (!root || !place || place.leaving) return { ...relation, viaRoot: null };
    const { oid, schema, name } = root;
    const { bornInPlace, bornAt, uniqueKey } = place;
    const bounds = vague.size > 0 && isVague(one) ? null : place.bounds;
    return { ...relation, viaRoot: { oid, schema, name, bornInPlace, bornAt, uniqueKey, bounds } };
  });
}

export function markSplit(found: readonly Relation[], patterns: readonly string[]): Relation[] {
  const named = compileSelection({ include: patterns, exclude: [] });
  return found.map((one) =>
    one.kind === 'r' && !one.isPartition && named.includes(one)
      ? { ...one, mayBeSplit: true }
      : one,
  );
}

interface Place extends Pick<ViaRoot, 'bornInPlace' | 'bornAt' | 'uniqueKey' | 'bounds'> {
  readonly leaving: boolean;
}

/**
 * `bornInPlace`: `pg_attribute` rows of system columns are written only when a table is created, so they hold the transaction and
 * command that created it. Its type's row is as old only if the table was never renamed, moved to another schema or given a new
 * owner; its `pg_inherits` row only if it was never attached. The schema must be older: if it was renamed later, earlier changes
 * came under another name. A new file means a rewrite, possibly by SET LOGGED, before which no row was in the WAL.
 */
const PLACES = /* sql */ `
with recursive wanted as (
  select * from unnest($1::oid[], $2::oid[], $3::oid[]) as w (oid, key, root)
), line (oid, child, parent) as (
  select w.oid, i.inhrelid, i.inhparent from wanted w join pg_catalog.pg_inherits i on i.inhrelid = w.oid
  union all
  select l.oid, i.inhrelid, i.inhparent from line l join pg_catalog.pg_inherits i on i.inhrelid = l.parent
), vague as (
  select distinct l.oid
    from line l join pg_catalog.pg_partitioned_table p on p.partrelid = l.parent
   where p.partstrat not in ('r', 'l') or p.partdefid = l.child
), indexes (oid, index) as (
  select w.oid, w.key from wanted w where w.key is not null
  union all
  select x.oid, i.inhparent from indexes x join pg_catalog.pg_inherits i on i.inhrelid = x.index
)
select w.oid::int8::float8 as oid,
       exists (select from pg_catalog.pg_inherits i
                 join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'tableoid' and a.attnum < 0
                 join pg_catalog.pg_type t on t.oid = c.reltype
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where i.inhrelid = c.oid and i.xmin = a.xmin and t.xmin = a.xmin and t.cmin = a.cmin
                  and age(n.xmin) > age(a.xmin)
                  and (c.relkind = 'p' or c.relfilenode = c.oid)) as "bornInPlace",
       -- Widens 32 bits to 64 by the distance to the next id; a distance above half of the range is ambiguous.
       (select case when behind < 2147483648 then (next.id - behind)::text end
          from pg_catalog.pg_attribute a,
               (select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8) next (id),
               lateral (select (next.id - a.xmin::text::int8) & 4294967295) as distance (behind)
         where a.attrelid = c.oid and a.attname = 'tableoid' and a.attnum < 0) as "bornAt",
       -- Not correlated: one hash each instead of a scan for each of thousands of partitions.
       w.oid in (select l.oid from line l
                   join pg_catalog.pg_inherits i on i.inhrelid = l.child and i.inhparent = l.parent
                  where (to_jsonb(i) ->> 'inhdetachpending')::boolean) as leaving,
       (w.oid, w.root) in (select x.oid, i.indrelid from indexes x
                             join pg_catalog.pg_index i on i.indexrelid = x.index
                            where i.indisunique) as "uniqueKey",
       case when c.relkind = 'r' and w.oid not in (select v.oid from vague v)
            then pg_catalog.pg_get_partition_constraintdef(c.oid) end as bounds
  from wanted w join pg_catalog.pg_class c on c.oid = w.oid`;

async function readPlaces(
  client: pg.ClientBase,
  wanted: readonly {
    readonly oid: number;
    readonly keyIndex: number | null;
    readonly root: number;
  }[],
): Promise<Map<number, Place>> {
  if (wanted.length === 0) return new Map();
  const { rows } = await client.query<Place & { oid: number }>(PLACES, [
    wanted.map(({ oid }) => oid),
    wanted.map(({ keyIndex }) => keyIndex),
    wanted.map(({ root }) => root),
  ]);
  return new Map(rows.map(({ oid, ...place }) => [oid, place]));
}
