/**
 * When the server plans a statement that reads a table, the planner inlines SQL functions of the table's indexes and statistics,
 * and resolves names in their bodies by the session's search path. Under our empty path that may fail where it works for the
 * application's sessions. Then the statement is planned under their path.
 */
import pg from 'pg';
import { Defaults } from '../connection/defaults.ts';
import { sqlstate } from '../connection/failure.ts';
import type { Purpose } from '../connection/connect.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

/** SQLSTATE classes that a search path can cause: names not found, privileges, values that a body is evaluated with. */
const PLANNING = new Set(['42', '3F', '22', '0A', 'P0', '2F', '39']);

/** @param condition one more. @param parameter SQL for the parameter of this number, from 1. */
export type WithParameters = (condition: string, parameter: (at: number) => string) => string;

/** The search paths to try for reads of a service's tables; the application's path is read when first needed. */
export class Planning {
  readonly #service: string;
  readonly #purpose: Purpose;
  #defaults: Promise<Defaults> | undefined;

  constructor(service: string, purpose: Purpose) {
    this.#service = service;
    this.#purpose = purpose;
  }

  /**
   * Runs a statement on a session outside a transaction, first under the empty search path.
   * @param statement receives whether the path is the application's: names that it prints then need {@link PRINTS_WITH_SCHEMAS}.
   * @param table quoted name of the table whose owner's path is tried next.
   * @throws the first error when neither path helps.
   */
  async run<T>(
    client: pg.ClientBase,
    table: string,
    statement: (theirs: boolean) => Promise<T>,
  ): Promise<T> {
    try {
      return await statement(false);
    } catch (error) {
      if (!isPlanning(error)) throw error;
      await setPath(client, await this.#pathOf(client, table), false);
      try {
        return await statement(true);
      } catch (again) {
        throw isPlanning(again) ? error : again;
      } finally {
        await setPath(client, '', false).catch(() => undefined);
      }
    }
  }

  /**
   * Finds the path under which a statement can be planned, and sets it for the open transaction.
   * @throws the first error when neither path helps.
   */
  async settle(client: pg.ClientBase, table: string, statement: string): Promise<string> {
    const failure = await this.#fails(client, statement, '');
    if (failure === null) return '';
    const path = await this.#pathOf(client, table);
    if ((await this.#fails(client, statement, path)) === null) return path;
    throw failure;
  }

  /**
   * A statement with parameters, to be run in the open transaction as often as needed. It can be planned under the path that is
   * found here, and prints names with their schemas.
   * @throws the first error when neither path helps.
   */
  async settled<R extends pg.QueryResultRow>(
    client: pg.ClientBase,
    table: string,
    statementOf: WithParameters,
  ): Promise<(values: readonly unknown[]) => Promise<pg.QueryResult<R>>> {
    // `explain` takes no parameters. A bare null would be folded, and the condition not planned.
    const path = await this.settle(
      client,
      table,
      statementOf('true', () => '(select null::text)'),
    );
    const statement = statementOf(path === '' ? 'true' : PRINTS_WITH_SCHEMAS, (at) => `$${at}`);
    if (path !== '') await setPath(client, '', true);
    return async (values) => {
      // Its execution empties the path again.
      if (path !== '') await setPath(client, path, true);
      return client.query<R>(statement, [...values]);
    };
  }

  /** Whether a statement can be planned under one of the paths; the session is in a transaction. */
  async possible(client: pg.ClientBase, table: string, statement: string): Promise<boolean> {
    try {
      await this.settle(client, table, statement);
      return true;
    } catch (error) {
      if (!isPlanning(error)) throw error;
      return false;
    }
  }

  /** Null when the statement can be planned; the path then stays set. */
  async #fails(client: pg.ClientBase, statement: string, path: string): Promise<Error | null> {
    try {
      // One round trip, because this runs for every chunk of a copy.
      await client.query(/* sql */ `
        savepoint walferry_plan;
        select pg_catalog.set_config('search_path', ${pg.escapeLiteral(path)}, true);
        explain ${statement};
        release savepoint walferry_plan`);
      return null;
    } catch (error) {
      if (!isPlanning(error)) throw error;
      await client.query(/* sql */ `rollback to savepoint walferry_plan`);
      return error;
    }
  }

  async #pathOf(client: pg.ClientBase, table: string): Promise<string> {
    this.#defaults ??= Defaults.read(this.#service, this.#purpose, client);
    return (await (await this.#defaults).forTable(client, table)).get('search_path') ?? '';
  }
}

/** Whether the search path may have caused a planner error. */
function isPlanning(error: unknown): error is Error {
  return error instanceof Error && PLANNING.has(sqlstate(error)?.slice(0, 2) ?? '');
}

/**
 * A condition that is always true and empties the search path when execution starts: a statement planned under the application's
 * path then prints names with their schemas.
 */
export const PRINTS_WITH_SCHEMAS = /* sql */ `(select pg_catalog.set_config('search_path', '', true)) is not null`;

/** Every schema that a planner may need, without those of the system and ours. */
const EVERY_SCHEMA = /* sql */ `
select pg_catalog.set_config('search_path', coalesce(string_agg(pg_catalog.quote_ident(n.nspname), ', '), ''), $1)
  from pg_catalog.pg_namespace n
 where n.nspname not like 'pg\\_%' and n.nspname not in (${SYSTEM_SCHEMAS})`;

/**
 * Runs a statement that is planned with functions of indexes but does not depend on their results: a query for a first row, the
 * DELETE of all rows, the check of a foreign key. If names are not found under our empty search path, it runs again with every
 * schema of the database on the path.
 * @param client inside a transaction or not; its search path is empty afterwards.
 * @throws the first error when that does not help.
 */
export async function underAnyPath<T>(
  client: pg.ClientBase,
  statement: () => Promise<T>,
): Promise<T> {
  const open = client.getTransactionStatus() === 'T';
  if (open) await client.query(/* sql */ `savepoint walferry_path`);
  try {
    const result = await statement();
    if (open) await client.query(/* sql */ `release savepoint walferry_path`);
    return result;
  } catch (error) {
    if (!isPlanning(error)) throw error;
    if (open) {
      await client.query(
        /* sql */ `rollback to savepoint walferry_path; release savepoint walferry_path`,
      );
    }
    await client.query(EVERY_SCHEMA, [open]);
    try {
      return await statement();
    } catch (again) {
      throw isPlanning(again) ? error : again;
    } finally {
      await setPath(client, '', open).catch(() => undefined);
    }
  }
}

async function setPath(client: pg.ClientBase, path: string, local: boolean): Promise<void> {
  await client.query(/* sql */ `select pg_catalog.set_config('search_path', $1, $2)`, [
    path,
    local,
  ]);
}
