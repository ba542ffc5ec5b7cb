/** The sessions of one case on one database: its statements, one by one, each as the file has it. */
import pg from 'pg';
import { connectTo } from '../database.ts';
import type { Step, FidelityCase } from './case.ts';

/**
 * A statement that waits for a lock longer than this waits forever: the case blocks itself or is blocked by the
 * migration.
 */
const SETTINGS = `set client_encoding = 'UTF8'; set lock_timeout = '20s'; set statement_timeout = '100s'`;

/**
 * Roles belong to a cluster: the roles of a case's grants and owners must already exist on both sides.
 */
export const ROLES = /* sql */ `
do $$ declare name text; begin
  foreach name in array array['fidelity_owner', 'fidelity_reader'] loop
    if not exists (select from pg_roles where rolname = name) then execute format('create role %I', name); end if;
  end loop;
end $$`;

export class Stage implements AsyncDisposable {
  readonly #fidelityCase: FidelityCase;
  readonly #service: string;
  readonly #sessions = new Map<string, pg.Client>();

  constructor(fidelityCase: FidelityCase, service: string) {
    this.#fidelityCase = fidelityCase;
    this.#service = service;
  }

  /** Creates the case's schema. */
  async begin(): Promise<void> {
    const client = await this.#session('main');
    await client.query(`create schema ${pg.escapeIdentifier(this.#fidelityCase.name)}`);
  }

  /**
   * Runs steps in order, each statement in the session it belongs to; sessions stay open from section to section.
   * @param applied waits until what is committed now is on the target.
   * @throws Error naming file, line and the server's message.
   */
  async run(steps: readonly Step[], applied?: () => Promise<void>): Promise<void> {
    for (const step of steps) {
      if (step.kind === 'applied') await applied?.();
      else await this.#statement(step);
    }
  }

  /**
   * Throws when a transaction is still open or prepared: slot creation or the drain would wait for it forever.
   */
  async expectNothingOpen(section: string): Promise<void> {
    for (const [name, client] of this.#sessions) {
      // In an open transaction its start is before the statement's; for a single statement both are the same.
      const { rows } = await client.query<{ open: boolean }>(
        /* sql */ `select now() <> statement_timestamp() as open`,
      );
      if (rows[0]?.open === true) {
        throw new Error(
          `${this.#fidelityCase.file}: session ${name} is in an open transaction at the end of ${section}`,
        );
      }
    }
    const [gid] = await this.#prepared();
    if (gid !== undefined) {
      throw new Error(
        `${this.#fidelityCase.file}: the prepared transaction "${gid}" is neither committed nor rolled back at the end of ${section}`,
      );
    }
  }

  /**
   * Ends everything that the case has open or prepared, so that its failure blocks no other case.
   */
  async withdraw(): Promise<void> {
    // A session in a failed transaction accepts no further statement.
    await this[Symbol.asyncDispose]();
    for (const gid of await this.#prepared()) {
      const client = await this.#session('main');
      await client.query(`rollback prepared ${pg.escapeLiteral(gid)}`);
    }
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#sessions.values()) await client.end().catch(() => undefined);
    this.#sessions.clear();
  }

  /** The case's prepared transactions: those whose name begins with the case's. */
  async #prepared(): Promise<string[]> {
    const client = await this.#session('main');
    const { rows } = await client.query<{ gid: string }>(
      /* sql */ `select gid from pg_catalog.pg_prepared_xacts
                  where database = current_database() and starts_with(gid, $1) order by 1`,
      [this.#fidelityCase.name],
    );
    return rows.map(({ gid }) => gid);
  }

  async #statement({ session, sql, line, fails, from }: Step & { kind: 'sql' }): Promise<void> {
    const client = await this.#session(session);
    const failed: unknown = await client.query(sql).then(
      () => null,
      (error: unknown) => error,
    );
    const state = failed instanceof pg.DatabaseError ? (failed.code ?? null) : null;
    if (failed === null ? fails === null : state !== null && state === fails) return;
    const seen = failed instanceof Error ? `${state ?? ''} ${failed.message}` : 'it succeeded';
    const wanted = fails === null ? '' : `should have failed with ${fails}: `;
    const at = from === undefined ? '' : `${from}:`;
    throw new Error(`${this.#fidelityCase.file}:${at}${line}: ${wanted}${seen}`, { cause: failed });
  }

  async #session(name: string): Promise<pg.Client> {
    const known = this.#sessions.get(name);
    if (known) return known;
    const client = await connectTo(this.#service);
    await client.query(SETTINGS);
    await client.query(`set search_path = ${pg.escapeIdentifier(this.#fidelityCase.name)}, public`);
    this.#sessions.set(name, client);
    return client;
  }
}
