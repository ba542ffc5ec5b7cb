/** Whether a session may run in replica role. */
import type pg from 'pg';
import { SQLSTATE, sqlstate } from '../../connection/failure.ts';
import { rolledBack } from '../../connection/in-transaction.ts';

/** Only a test shows it: the right is an attribute, a grant (from 15 on), or a hosted server's rule. */
export async function tryReplica({ client }: { readonly client: pg.ClientBase }): Promise<boolean> {
  try {
    await rolledBack(client, () =>
      client.query(/* sql */ `set local session_replication_role = replica`),
    );
    return true;
  } catch (error) {
    if (sqlstate(error) === SQLSTATE.insufficientPrivilege) return false;
    throw error;
  }
}
