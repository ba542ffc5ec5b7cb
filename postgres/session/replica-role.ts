/** The replica role, in which the target's triggers and foreign keys do not fire while walferry writes. */
import type pg from 'pg';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';

/**
 * Sets the replica role for the session if the database role has the privilege.
 * @returns whether it is set; preflight reports the consequences if it is not.
 */
export async function takeReplicaRole(target: pg.ClientBase): Promise<boolean> {
  try {
    await target.query(/* sql */ `set session_replication_role = replica`);
    return true;
  } catch (error) {
    if (sqlstate(error) !== SQLSTATE.insufficientPrivilege) throw error;
    return false;
  }
}

/** Whether the session's writes fire no triggers and check no foreign keys. */
export async function hasReplicaRole(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ role: string }>(
    /* sql */ `select current_setting('session_replication_role') as role`,
  );
  return rows[0]?.role === 'replica';
}
