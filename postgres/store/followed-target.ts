/** Where the target stands and which of its tables the migration follows: what readiness is measured on. */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';

export interface FollowedTarget {
  /** Null before the slot was created. */
  readonly confirmed: Lsn | null;
  readonly tables: readonly TableName[];
}

export async function readFollowedTarget(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<FollowedTarget> {
  const { rows } = await target.query<{ confirmed: string | null }>(
    /* sql */ `select confirmed_lsn::text as confirmed from walferry.migration where id = $1`,
    [id],
  );
  const tables = await target.query<TableName>(
    /* sql */ `
    select distinct coalesce(root_schema, schema_name) as schema, coalesce(root_name, table_name) as name
      from walferry.relation where migration = $1 and state <> 'dropped'`,
    [id],
  );
  const confirmed = rows[0]?.confirmed ?? null;
  return { confirmed: confirmed === null ? null : parseLsn(confirmed), tables: tables.rows };
}
