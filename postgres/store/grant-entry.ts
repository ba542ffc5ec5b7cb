/** Grants that run again after the cutover (schema/late-grant.ts), stored as entries of the schema. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';

/** Numbers of the grants that run again after the cutover. */
export async function readLateGrants(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Set<number>> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `select id from walferry.schema_entry where migration = $1 and phase = 'grants'`,
    [migration.id],
  );
  return new Set(rows.map(({ id }) => id));
}

/** A grant has to run again after the cutover. */
export async function deferGrant(
  target: pg.ClientBase,
  migration: Migration,
  id: number,
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.schema_entry set phase = 'grants', done_at = null where migration = $1 and id = $2`,
    [migration.id, id],
  );
}

export interface LateGrant {
  readonly id: number;
  readonly schema: string | null;
  readonly name: string;
  readonly sql: string;
}

/** Grants that have not run again. Schemas last: without a privilege on the schema, its objects cannot be reached. */
export async function readWaitingGrants(
  target: pg.ClientBase,
  migration: Migration,
): Promise<LateGrant[]> {
  const { rows } = await target.query<LateGrant>(
    /* sql */ `
    select id, schema_name as schema, name, sql from walferry.schema_entry
     where migration = $1 and phase = 'grants' and done_at is null
     order by name like 'SCHEMA %', position`,
    [migration.id],
  );
  return rows;
}
