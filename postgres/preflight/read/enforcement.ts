/** Constraints whose triggers are disabled on the source: `ALTER TABLE … DISABLE TRIGGER ALL`, which pg_dump does not record. */
import type pg from 'pg';
import type { TableName } from '../../catalog/selection.ts';

export interface UnenforcedConstraint extends TableName {
  readonly constraint: string;
}

/** @param selected oids of the referencing tables; triggers on either side of a foreign key count. */
export async function readUnenforced(
  client: pg.ClientBase,
  selected: readonly number[],
): Promise<UnenforcedConstraint[]> {
  const { rows } = await client.query<UnenforcedConstraint>(
    /* sql */ `
    select distinct n.nspname as schema, c.relname as name, k.conname as "constraint"
      from pg_catalog.pg_trigger g
      join pg_catalog.pg_constraint k on k.oid = g.tgconstraint
      join pg_catalog.pg_class c on c.oid = k.conrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where g.tgisinternal and g.tgenabled <> 'O' and k.conrelid = any($1::oid[])
     order by 1, 2, 3`,
    [selected],
  );
  return rows;
}
