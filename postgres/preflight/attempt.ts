/** Tries statements, because only that shows a right: it may come from an attribute, a grant, or a hosted server's rule. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

export interface Refused {
  /** SQLSTATE. */
  readonly state: string;
  /** The server's context, searched for known names and not passed on. */
  readonly where: string;
}

/**
 * Runs statements inside the open transaction, which a refusal leaves usable.
 * @returns null if all succeed; otherwise all are rolled back.
 */
export async function attempted(
  client: pg.ClientBase,
  statements: () => Promise<unknown>,
): Promise<Refused | null> {
  await client.query(/* sql */ `savepoint attempt`);
  try {
    await statements();
    await client.query(/* sql */ `release savepoint attempt`);
    return null;
  } catch (error) {
    const state = error instanceof MigrationError ? error.details.sqlstate : undefined;
    const of = error instanceof pg.DatabaseError ? error : undefined;
    if (state === undefined && of?.code === undefined) throw error;
    await client.query(/* sql */ `rollback to savepoint attempt; release savepoint attempt`);
    return { state: state ?? of?.code ?? '', where: of?.where ?? '' };
  }
}

/** {@link attempted} for one statement: null or the SQLSTATE. */
export async function attempt(client: pg.ClientBase, sql: string): Promise<string | null> {
  return (await attempted(client, () => client.query(sql)))?.state ?? null;
}
