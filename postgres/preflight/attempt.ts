/** Trying a statement where only trying tells: rights are attributes, grants, or a hosted server's own rules. */
import type pg from 'pg';
import { sqlstate } from '../connection/failure.ts';

/** Runs a statement inside the open transaction, which a refusal leaves usable. Null, or the SQLSTATE of the refusal. */
export async function attempt(client: pg.ClientBase, sql: string): Promise<string | null> {
  await client.query(/* sql */ `savepoint attempt`);
  try {
    await client.query(sql);
    return null;
  } catch (error) {
    const state = sqlstate(error);
    if (state === undefined) throw error;
    await client.query(/* sql */ `rollback to savepoint attempt`);
    return state;
  }
}
