/** Partitioned tables that are created during the stream and whose rows the target would put into other partitions. */
import type pg from 'pg';
import { differsByServer, readPartitionKeys } from '../catalog/partition-key.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import type { Sides, DriftReport } from './table-drift.ts';

/** Reports them before their copy fails halfway; preflight reports the same for tables that exist at the start. */
export async function checkNewTrees(
  target: pg.ClientBase,
  here: readonly Relation[],
  sides: Sides,
  found: DriftReport,
): Promise<void> {
  const fresh = here.filter(
    (one) => one.kind === 'p' && one.viaRoot === null && !sides.planned.has(keyOfName(one)),
  );
  // The target's bounds decide whether a row is refused.
  const oids = fresh.flatMap((one) => sides.there.get(keyOfName(one))?.oid ?? []);
  for (const key of await readPartitionKeys(target, oids)) {
    const [reason] = differsByServer(key);
    if (reason === undefined) continue;
    found.drift.push({
      ...{ schema: key.schema, table: key.name, column: null },
      what: `is new, and the target would put its rows into other partitions (${reason}): partition it differently on both sides, drop it, or start again with tables.viaPartitionRoot`,
    });
  }
}

/**
 * What to do about new partitions whose parent has a default partition on the target. The default partition may still hold their
 * rows, because the deletes arrive by a stream that waits for the new partition. Empty if there are none.
 */
export async function defaultPartitionHint(
  target: pg.ClientBase,
  absent: readonly Relation[],
  { hereByOid, there }: Pick<Sides, 'hereByOid' | 'there'>,
): Promise<string> {
  const partitions = absent.flatMap((one) => {
    const parent = one.isPartition && one.parentOid !== null && hereByOid.get(one.parentOid);
    const oid = parent ? there.get(keyOfName(destinationOf(parent)))?.oid : undefined;
    return oid === undefined ? [] : [{ one, oid }];
  });
  if (partitions.length === 0) return '';
  const { rows } = await target.query<{ oid: number }>(
    /* sql */ `
    select p.partrelid::int8::float8 as oid from pg_catalog.pg_partitioned_table p
     where p.partrelid = any($1::oid[]) and p.partdefid <> 0`,
    [partitions.map(({ oid }) => oid)],
  );
  const split = new Set(rows.map(({ oid }) => oid));
  const names = partitions.flatMap(({ one, oid }) => (split.has(oid) ? [nameOf(one)] : []));
  if (names.length === 0) return '';
  const shown = names.slice(0, SHOWN).join(', ');
  return `; the default partition on the target may still hold rows of ${shown}${names.length > SHOWN ? ' and others' : ''}: create such a partition there as a separate table (create table … (like … including all)), resume, and attach it once it is copied`;
}

const SHOWN = 5;
