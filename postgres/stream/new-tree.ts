/** Partitioned tables that are created while streaming and whose rows the target would route differently. */
import type pg from 'pg';
import { differsByServer, readPartitionKeys } from '../catalog/partition-key.ts';
import type { Relation } from '../catalog/relation.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { Sides, Verdicts } from './verdict.ts';

/** Stops before their copy would fail halfway; preflight reports the same for tables that exist at the start. */
export async function judgeNewTrees(
  target: pg.ClientBase,
  here: readonly Relation[],
  sides: Sides,
  found: Verdicts,
): Promise<void> {
  const fresh = here.filter(
    (one) => one.kind === 'p' && one.viaRoot === null && !sides.planned.has(keyOfName(one)),
  );
  // The bounds that refuse a row are the target's.
  const oids = fresh.flatMap((one) => sides.there.get(keyOfName(one))?.oid ?? []);
  for (const key of await readPartitionKeys(target, oids)) {
    const [reason] = differsByServer(key);
    if (reason === undefined) continue;
    found.drift.push({
      ...{ schema: key.schema, table: key.name, column: null },
      what: `is new, and the target would route its rows to different partitions (${reason}): partition it differently on both sides, drop it, or start again with tables.viaPartitionRoot`,
    });
  }
}
