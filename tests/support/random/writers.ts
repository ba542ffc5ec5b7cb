/**
 * Overlapping writers on a random schema: savepoints, rollbacks, TRUNCATE, changes of keys, large values that later
 * changes do not touch, prepared transactions that another command ends. The seed determines what each writer sends,
 * not their timing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Pick } from './pick.ts';
import { KEYS } from './schema.ts';
import type { RandomSchema, RandomTable } from './schema.ts';

const CONNECTIONS = 4;
/** Far below what one stream can apply, with at least one open transaction at any moment. */
const TRANSACTION_MILLISECONDS = 10;

/** Share of all statements. */
const TRUNCATES = 0.004;

export class Writers {
  /** TRUNCATE as a share of all statements; 0: none from the next statement on. */
  truncates = TRUNCATES;
  /** Transactions whose end returned. */
  committed = 0;
  /** Statements refused by the source, by SQLSTATE: conflicts, locks, servers that went away. */
  readonly refused = new Map<string, number>();
  readonly #schema: RandomSchema;
  readonly #connect: () => Promise<pg.Client>;
  readonly #connections: Promise<void>[];
  #stopping = false;

  constructor(schema: RandomSchema, seed: number, connect: () => Promise<pg.Client>) {
    this.#schema = schema;
    this.#connect = connect;
    this.#connections = Array.from({ length: CONNECTIONS }, (_, connection) =>
      this.#connection(new Pick(seed + 1 + connection), connection),
    );
  }

  /** Ends at transaction boundaries; no prepared transaction is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#connections);
    const client = await this.#connect();
    await commitPrepared(client, '');
    await client.end();
  }

  async #connection(pick: Pick, connection: number): Promise<void> {
    let client: pg.Client | undefined;
    for (let number = 0; !this.#stopping; number += 1) {
      const next = sleep(TRANSACTION_MILLISECONDS);
      try {
        client ??= await this.#open(connection);
        await this.#transaction(client, pick, `${connection}-${number}`);
        this.committed += 1;
      } catch (error) {
        const code = error instanceof pg.DatabaseError ? (error.code ?? '?') : 'connection';
        this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
        // After an error of a statement the session continues; otherwise it is recreated.
        const usable = await client?.query('rollback').then(
          () => true,
          () => false,
        );
        if (usable !== true) {
          await client?.end().catch(() => undefined);
          client = undefined;
          await sleep(50);
        }
      }
      await next;
    }
    await client?.end().catch(() => undefined);
  }

  async #open(connection: number): Promise<pg.Client> {
    const client = await this.#connect();
    // Prepared transactions and TRUNCATE hold locks: other writers wait for them only briefly.
    await client.query(`set lock_timeout = '300ms'; set statement_timeout = '5s'`);
    await commitPrepared(client, `random ${connection}-`);
    return client;
  }

  async #transaction(client: pg.Client, pick: Pick, name: string): Promise<void> {
    await client.query('begin');
    const steps = 1 + pick.below(pick.chance(0.1) ? 60 : 6);
    for (let step = 0; step < steps; step += 1) {
      if (!pick.chance(0.15)) {
        await client.query(this.#statement(pick));
        continue;
      }
      await client.query('savepoint s');
      for (let inner = pick.below(4); inner >= 0; inner -= 1) {
        await client.query(this.#statement(pick));
      }
      await client.query(pick.chance(0.5) ? 'rollback to s' : 'release s');
    }
    if (pick.chance(0.1)) {
      await client.query('rollback');
      return;
    }
    if (!pick.chance(0.1)) {
      await client.query('commit');
      return;
    }
    const gid = pg.escapeLiteral(`random ${name}`);
    await client.query(`prepare transaction ${gid}`);
    await sleep(pick.below(150));
    await client.query(pick.chance(0.8) ? `commit prepared ${gid}` : `rollback prepared ${gid}`);
  }

  #statement(pick: Pick): string {
    const table = pick.one(this.#schema.tables);
    const { name } = table;
    const where = this.#where(pick, table);
    if (pick.chance(this.truncates)) {
      const other = pick.one(this.#schema.tables).name;
      // Referring tables are truncated, too; some are refused instead.
      const along = pick.chance(0.7) ? ' cascade' : '';
      return `truncate ${name === other ? name : `${name}, ${other}`}${along}`;
    }
    switch (pick.below(10)) {
      case 0:
      case 1:
      case 2:
        return this.#insert(pick, table);
      case 3:
        return `delete from ${name} where ${where}`;
      case 4:
        // A change of the key; the large value stays where it is.
        return `update ${name} set ${this.#keySet(pick, table)} where ${where}`;
      case 5:
        return `update ${name} set ${table.large} = ${large(pick)} where ${where}`;
      case 6:
        // Delete and insert of the same key in one transaction.
        return `with gone as (delete from ${name} where ${where} returning 1) select count(*) from gone`;
      default:
        return `update ${name} set ${this.#sets(pick, table)} where ${where}`;
    }
  }

  #insert(pick: Pick, table: RandomTable): string {
    const columns = [...table.key, ...table.columns, ...table.references].map(
      ({ column }) => column,
    );
    const values = [
      ...this.#keyValues(pick, table),
      ...table.columns.map(({ type }) => this.#value(pick, type.value)),
      ...table.references.map(({ to }) => this.#reference(pick, to)),
    ];
    // A deferrable key cannot arbitrate a conflict, and without a key there is none.
    const arbitrated = !['deferrable', 'full'].includes(table.identity);
    return `insert into ${table.name} (${[...columns, table.large].join(', ')})
      values (${[...values, large(pick)].join(', ')}) ${arbitrated ? 'on conflict do nothing' : ''}`;
  }

  #sets(pick: Pick, { columns, counter, references }: RandomTable): string {
    const chosen = pick.some(columns, 0.4);
    const written = chosen.length > 0 ? chosen : columns.slice(0, 1);
    const sets = written.map(({ column, type }) => `${column} = ${this.#value(pick, type.value)}`);
    for (const { column, to } of references) {
      if (pick.chance(0.4)) sets.push(`${column} = ${this.#reference(pick, to)}`);
    }
    if (counter && pick.chance(0.3)) {
      const free = !counter.always && pick.chance(0.5);
      sets.push(`${counter.column} = ${free ? String(pick.below(1e6)) : 'default'}`);
    }
    return sets.join(', ');
  }

  /** An existing key, or null; it may be gone at the commit, which the foreign key then refuses. */
  #reference(pick: Pick, to: RandomTable): string {
    const [key] = to.key;
    if (!key || pick.chance(0.2)) return 'null';
    return `(select ${key.column} from ${to.name} where ${this.#where(pick, to)} limit 1)`;
  }

  #value(pick: Pick, value: (pick: Pick, texts: readonly string[]) => string): string {
    return pick.chance(0.15) ? 'null' : value(pick, this.#schema.texts);
  }

  #keySet(pick: Pick, table: RandomTable): string {
    const values = this.#keyValues(pick, table);
    return table.key.map(({ column }, index) => `${column} = ${values[index]}`).join(', ');
  }

  #where(pick: Pick, table: RandomTable): string {
    const values = this.#keyValues(pick, table);
    return table.key.map(({ column }, index) => `${column} = ${values[index]}`).join(' and ');
  }

  #keyValues(pick: Pick, { key }: RandomTable): string[] {
    const hot = pick.chance(0.7);
    const id = hot ? pick.below(KEYS) : KEYS + pick.below(this.#schema.filled);
    // Only hot rows have different numbers in their parts.
    return key.map(({ type }, index) =>
      type.value(index === 0 || !hot ? id : id % 7, this.#schema.texts),
    );
  }
}

/** Ends what a connection that was lost had prepared, as a transaction manager does: it would hold its locks for ever. */
async function commitPrepared(client: pg.Client, prefix: string): Promise<void> {
  const left = await client.query<{ gid: string }>(
    /* sql */ `select gid from pg_prepared_xacts where database = current_database() and starts_with(gid, $1)`,
    [prefix],
  );
  for (const { gid } of left.rows) await client.query(`commit prepared ${pg.escapeLiteral(gid)}`);
}

/** Null, short, or long enough to be stored out of line. */
function large(pick: Pick): string {
  const kind = pick.below(4);
  if (kind === 0) return 'null';
  return kind === 1 ? `'short'` : `repeat(md5('${pick.below(1e6)}'), ${80 + pick.below(60)})`;
}
