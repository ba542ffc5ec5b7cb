/** Rights that a fence of kind `roles` revokes on the source: stored before it revokes the first, until all are granted back. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';

export interface FenceGrant {
  /** Oid of the table on the source. */
  readonly table: number;
  /** Null: the whole table. */
  readonly column: string | null;
  readonly grantor: string;
  /** Null: PUBLIC. */
  readonly grantee: string | null;
  readonly privilege: 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE';
  readonly grantable: boolean;
}

/** @param grants in the order in which they can be granted. */
export async function storeFenceGrants(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
  grants: readonly FenceGrant[],
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.fence_grant (migration, position, table_oid, column_name, grantor, grantee, privilege, grantable)
    select $1, g.at, (g.one ->> 'table')::bigint, g.one ->> 'column', g.one ->> 'grantor', g.one ->> 'grantee',
           g.one ->> 'privilege', (g.one ->> 'grantable')::boolean
      from pg_catalog.json_array_elements($2::json) with ordinality as g (one, at)`,
    [id, JSON.stringify(grants)],
  );
}

/** In the order in which they can be granted. */
export async function readFenceGrants(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
): Promise<FenceGrant[]> {
  const { rows } = await target.query<FenceGrant>(
    /* sql */ `
    select table_oid::float8 as "table", column_name as "column", grantor, grantee, privilege, grantable
      from walferry.fence_grant where migration = $1 order by position`,
    [id],
  );
  return rows;
}

export async function forgetFenceGrants(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
): Promise<void> {
  await target.query(/* sql */ `delete from walferry.fence_grant where migration = $1`, [id]);
}
