/** The events in the life of a schema entry. Each is recorded in the transaction that does the work. */
import type pg from 'pg';

/**
 * Claims an entry for this transaction: marks it done, which takes effect only if the transaction commits. Waits while
 * another attempt has it claimed; false when that attempt committed.
 */
export async function claimEntry(
  target: pg.ClientBase,
  migration: string,
  id: number,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.schema_entry set done_at = now()
     where migration = $1 and id = $2 and done_at is null`,
    [migration, id],
  );
  return rowCount === 1;
}

/** Entries were run. */
export async function markEntriesDone(
  target: pg.ClientBase,
  migration: string,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.schema_entry set done_at = now() where migration = $1 and id = any($2)`,
    [migration, ids],
  );
}

/** Entries were undone: their objects were dropped or switched off again. */
export async function markEntriesUndone(
  target: pg.ClientBase,
  migration: string,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.schema_entry set done_at = null where migration = $1 and id = any($2)`,
    [migration, ids],
  );
}

/** A claimed foreign key was added but not validated: its entry is not done. @param oid of the key; null if unknown. */
export async function markKeyAdded(
  target: pg.ClientBase,
  migration: string,
  id: number,
  oid: string | null,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.schema_entry set done_at = null, added = $3::oid where migration = $1 and id = $2`,
    [migration, id, oid],
  );
}

/** Rows broke a constraint. @param rows null: not counted. @param query lists them. */
export async function markBroken(
  target: pg.ClientBase,
  migration: string,
  id: number,
  { rows, query }: { readonly rows: string | null; readonly query: string },
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.schema_entry set broken_rows = $3, broken_query = $4 where migration = $1 and id = $2`,
    [migration, id, rows, query],
  );
}

/** For the operator to run on the target: the query that lists the rows that break this entry. */
export function showBroken(id: number): string {
  return `select broken_query from walferry.schema_entry where id = ${id}`;
}

/** The same for all entries. */
export const SHOW_ALL_BROKEN =
  'select name, broken_rows, broken_query from walferry.schema_entry where broken_query is not null and done_at is null';

/** For the operator to run on the target: leaves an entry out, or declares that it was created by hand. */
export function settleByHand(id: number): string {
  return `update walferry.schema_entry set done_at = now() where id = ${id}`;
}
