/** Replaces the fence's function, in the caller's transaction. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { SQLSTATE } from '../connection/failure.ts';
import { inSavepoint } from '../connection/in-transaction.ts';
import { replaceFunction, type Body } from './fence-body.ts';

/**
 * Event triggers of the application do not fire for it, if the role may prevent that: one that logs DDL into a moved table would
 * write past the fence, between the two marks, and undo every cutover. Those that are ENABLE ALWAYS fire all the same.
 */
export async function replaceBody(
  client: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
  body: Body,
): Promise<void> {
  await inSavepoint(
    client,
    () => client.query(/* sql */ `set local session_replication_role = replica`),
    (state) => state === SQLSTATE.insufficientPrivilege,
  );
  await client.query(replaceFunction(migration, body));
}
