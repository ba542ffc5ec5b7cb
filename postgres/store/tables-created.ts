/** How far the tables on the target are created, as the migration's row records it. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { hasStore } from './upgrade.ts';

/**
 * `absent`: the migration is not registered. `begun`: some of the schema exists. `created`: walferry created the tables. `used`: it
 * found them empty.
 */
export type TablesState = 'absent' | 'begun' | 'created' | 'used';

export async function readTablesState(
  target: pg.ClientBase,
  migration: Migration,
): Promise<TablesState> {
  if (!(await hasStore(target))) return 'absent';
  const { rows } = await target.query<{ created: boolean | null }>(
    /* sql */ `select tables_created as created from walferry.migration where id = $1`,
    [migration.id],
  );
  const [row] = rows;
  if (row === undefined) return 'absent';
  return row.created === null ? 'begun' : row.created ? 'created' : 'used';
}

/** The last entry of the tables was created. */
export async function markTablesCreated(target: pg.ClientBase, { id }: Migration): Promise<void> {
  await setCreated(target, id, true);
}

/** An undo has dropped some: a later attempt must not consider the schema complete. */
export async function markTablesIncomplete(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<void> {
  await setCreated(target, id, null);
}

async function setCreated(target: pg.ClientBase, id: string, created: true | null): Promise<void> {
  await target.query(/* sql */ `update walferry.migration set tables_created = $2 where id = $1`, [
    id,
    created,
  ]);
}
