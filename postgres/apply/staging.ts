/** Staging tables: rows that are sent with COPY, to be joined with a target table. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import copyFrom from 'pg-copy-streams';
import { copyPieces } from './copy-text.ts';
import type { TargetTable } from './target-table.ts';

/** Staging tables that a session keeps before it drops all: each is emptied at every commit that touched any of them. */
const MOST_STAGING_TABLES = 100;

/**
 * Temporary tables of the session, one per target table, that hold old keys (`k0`, `k1`, …) and new columns (`c0`, …) in the
 * target's types: the target's input functions parse the text, and joins compare equal types.
 */
export class Staging {
  readonly #client: pg.Client;
  /** Created and committed. */
  readonly #kept = new Set<number>();
  /** Created in the open transaction: dropped by a rollback, also one to a savepoint. */
  readonly #fresh = new Set<number>();
  /** Contain rows of an earlier set of the open transaction. */
  readonly #filled = new Set<number>();

  constructor(client: pg.Client) {
    this.#client = client;
  }

  committed(): void {
    for (const number of this.#fresh) this.#kept.add(number);
    this.#fresh.clear();
    this.#filled.clear();
  }

  rolledBack(): void {
    // After a rollback to a savepoint, rows of an earlier set may be back, and a fresh table may or may not exist: treat every
    // known table as filled, and the fresh ones as not created.
    for (const number of [...this.#kept, ...this.#fresh]) this.#filled.add(number);
    this.#fresh.clear();
  }

  /** Drops the staging tables when there are many; only outside of a transaction. */
  async prune(): Promise<void> {
    if (this.#kept.size < MOST_STAGING_TABLES) return;
    await this.#client.query(/* sql */ 'discard temp');
    this.#kept.clear();
    this.#filled.clear();
  }

  /** Fills the table's staging table with these lines and returns its name. */
  async fill(
    table: TargetTable,
    columns: readonly string[],
    rows: Iterable<string>,
  ): Promise<string> {
    const { number } = table;
    const name = `pg_temp.walferry_stage_${number}`;
    if (!this.#kept.has(number) && !this.#fresh.has(number)) {
      const keys = (table.key ?? []).map(({ position }, index) => {
        const column = table.columns[position];
        return `k${index} ${column?.baseType}${column?.collate}`;
      });
      const values = table.columns.map(({ baseType }, index) => `c${index} ${baseType}`);
      // `if not exists`: after a rollback to a savepoint it may still exist from before the savepoint.
      await this.#client.query(
        /* sql */ `create temporary table if not exists ${name} (${[...keys, ...values].join(', ')}) on commit delete rows`,
      );
      this.#fresh.add(number);
    }
    if (this.#filled.has(number)) await this.#client.query(/* sql */ `truncate ${name}`);
    this.#filled.add(number);
    await copyRows(this.#client, /* sql */ `copy ${name} (${columns.join(', ')}) from stdin`, rows);
    return name;
  }
}

/** Runs `COPY … FROM STDIN`; returns the number of rows that arrived. */
export async function copyRows(
  client: pg.Client,
  text: string,
  rows: Iterable<string>,
): Promise<number> {
  const stream = client.query(copyFrom.from(text));
  await pipeline(Readable.from(copyPieces(rows)), stream);
  return stream.rowCount;
}
