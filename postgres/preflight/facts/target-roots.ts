/** Roots of `viaPartitionRoot` that exist on the target. */
import { readRelationsNamed } from '../../catalog/read-relations.ts';
import { type Relation } from '../../catalog/relation.ts';
import { shared, type TargetReading } from '../reading.ts';
import { destinedRoots } from './target-tables.ts';

export interface RootFacts {
  readonly relation: Relation;
  /** Of a partitioned table; null for others. */
  readonly partitions: number | null;
  /** Columns of its usable indexes, in order. */
  readonly indexes: readonly (readonly string[])[];
}

export const roots = shared(async (of: TargetReading): Promise<RootFacts[]> => {
  const relations = await readRelationsNamed(of.client, await destinedRoots(of));
  const { rows } = await of.client.query<{
    oid: number;
    partitions: number | null;
    indexes: string[][];
  }>(
    /* sql */ `
    select c.oid::int8::float8 as oid,
           case when c.relkind = 'p' then
             (select count(*)::int4 from pg_catalog.pg_partition_tree(c.oid) t where t.isleaf) end as partitions,
           coalesce((select json_agg((select json_agg(a.attname order by k.at)
                              from unnest(i.indkey::int2[]) with ordinality k (attnum, at)
                              join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                             where k.at <= i.indnkeyatts))
              from pg_catalog.pg_index i
              join pg_catalog.pg_class x on x.oid = i.indexrelid
              join pg_catalog.pg_am m on m.oid = x.relam and m.amname in ('btree', 'hash')
             where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indexprs is null), '[]') as indexes
      from pg_catalog.pg_class c where c.oid = any($1::oid[])`,
    [relations.map(({ oid }) => oid)],
  );
  const byOid = new Map(rows.map(({ oid, ...facts }) => [oid, facts]));
  return relations.map((relation) => ({
    relation,
    partitions: byOid.get(relation.oid)?.partitions ?? null,
    indexes: byOid.get(relation.oid)?.indexes ?? [],
  }));
});
