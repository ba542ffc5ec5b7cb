/**
 * One open transaction of the application: runs its statements and collects their changes, for the ledger. A part that
 * was rolled back to a savepoint is no longer a change of the transaction.
 */
import type { Connection } from './database.ts';
import type { LedgerChange } from './ledger.ts';
import { CONTENT_HASH, KEY_TEXT } from './tables.ts';
import type { Table } from './tables.ts';

interface Returned {
  key: string;
  revision: string;
  hash: string | null;
}

export class Transaction {
  readonly #client: Connection;
  #changes: LedgerChange[] = [];
  #undone: LedgerChange[] = [];

  constructor(client: Connection) {
    this.#client = client;
  }

  /** What COMMIT would make visible. */
  get changes(): readonly LedgerChange[] {
    return this.#changes;
  }

  /** What was rolled back to savepoints. */
  get undone(): readonly LedgerChange[] {
    return this.#undone;
  }

  /** `insert into TABLE as t …`; returns the keys. */
  async insert(table: Table, rest: string, values: unknown[] = []): Promise<string[]> {
    return this.#change(table, 'insert', `insert into ${table} as t ${rest}`, values);
  }

  /** `update TABLE as t set …, revision = (next number) …`. Must not change the key: {@link rekey} does. */
  async update(table: Table, set: string, where: string, values: unknown[]): Promise<string[]> {
    // nextval() is evaluated again after a wait for the row: the number is taken under the row's lock.
    const sql = `update ${table} as t set ${set}, revision = nextval('change_number') where ${where}`;
    return this.#change(table, 'update', sql, values);
  }

  /**
   * An update that gives one row another key: in the ledger a delete of the old key and an insert of the new one.
   * `where` selects the row by its old key, which is `$1`. Returns the new key, or undefined when the row is gone.
   */
  async rekey(
    table: Table,
    set: string,
    where: string,
    oldKey: string,
  ): Promise<string | undefined> {
    const before = this.#changes.length;
    const [key] = await this.update(table, set, where, [oldKey]);
    const moved = this.#changes[before];
    if (moved !== undefined) {
      this.#changes.push({ ...moved, key: oldKey, operation: 'delete', hash: null });
    }
    return key;
  }

  async delete(table: Table, where: string, values: unknown[]): Promise<string[]> {
    const sql = /* sql */ `delete from ${table} as t where ${where}`;
    return this.#change(table, 'delete', sql, values);
  }

  /** Runs a part and rolls it back, like an application that tries something. */
  async tryAndUndo(part: () => Promise<void>): Promise<void> {
    const before = this.#changes.length;
    await this.#client.query('savepoint attempt');
    await part();
    await this.#client.query('rollback to savepoint attempt');
    this.#undone.push(...this.#changes.splice(before));
  }

  async #change(
    table: Table,
    operation: LedgerChange['operation'],
    sql: string,
    values: unknown[],
  ): Promise<string[]> {
    const [revision, hash] =
      operation === 'delete' ? ["nextval('change_number')", 'null'] : ['t.revision', CONTENT_HASH];
    const result = await this.#client.query<Returned>(
      `${sql} returning ${KEY_TEXT[table]} as key, ${revision}::text as revision, ${hash} as hash`,
      values,
    );
    for (const row of result.rows) this.#changes.push({ table, operation, ...row });
    return result.rows.map((row) => row.key);
  }
}
