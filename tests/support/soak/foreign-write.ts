/**
 * One write to the target that is not walferry's, at a random place. It hits rows that the application inserted for it and never
 * touches again: a later change of the same row would be refused by the stream or would undo the difference.
 */
import type pg from 'pg';
import type { FreshPair } from '../database.ts';
import { connectTo } from '../database.ts';
import type { Pick } from '../random/pick.ts';
import { fill, type RandomSchema, type RandomTable } from '../random/schema.ts';
import type { Writers } from '../random/writers.ts';
import { until } from '../until.ts';

/** Keys that no writer draws. */
const FIRST_STILL = 100_000_000;
const STILL_ROWS = 40;
/** 2,880 bytes, stored out of line. */
const STILL_REPEATS = 90;
const STILL_BYTES = STILL_REPEATS * 32;

const KINDS = ['byte', 'value', 'missing', 'extra', 'swapped', 'duplicate'] as const;
export type ForeignKind = (typeof KINDS)[number];

/** What was written. */
export interface ForeignWrite {
  readonly kind: ForeignKind;
  /** `schema.table` that hold the rows: the table, or its partitions. */
  readonly tables: readonly string[];
  /** Keys that differ by it; in a table without a key, where a row is its own key, twice as many where a value changed. */
  readonly keys: number;
}

export class ForeignWriter {
  readonly #pair: FreshPair;
  readonly #schema: RandomSchema;
  readonly #pick: Pick;
  #next = FIRST_STILL;

  constructor(pair: FreshPair, schema: RandomSchema, pick: Pick) {
    this.#pair = pair;
    this.#schema = schema;
    this.#pick = pick;
  }

  /**
   * Inserts rows on the source and waits until they are on the target.
   * @returns what then writes one difference to the target; it may be called once.
   */
  async prepare(writers: Writers): Promise<(target: pg.Client) => Promise<ForeignWrite>> {
    const kind = this.#pick.one(KINDS);
    const table = this.#pick.one(
      this.#schema.tables.filter(({ identity }) => kind !== 'duplicate' || identity === 'full'),
    );
    await this.#afterTruncates(writers);
    const from = this.#next;
    this.#next += 2 * STILL_ROWS;
    const rows = { from, rows: STILL_ROWS, repeats: STILL_REPEATS };
    await until(`rows of ${table.name} on the source`, async () => {
      await using source = await connectTo(this.#pair.source);
      // An earlier try may have been committed without an answer.
      if (!(await this.#has(source, table, from))) {
        await source.query(fill(table, this.#schema.texts, rows));
      }
      return true;
    });
    await until(
      `rows of ${table.name} on the target`,
      async () => {
        await using target = await connectTo(this.#pair.target);
        return await this.#has(target, table, from);
      },
      { seconds: 180, everyMilliseconds: 200 },
    );
    return (target) => this.#write(target, kind, table, from);
  }

  /** A TRUNCATE that began before would remove the difference, which is then none. */
  async #afterTruncates(writers: Writers): Promise<void> {
    writers.truncates = 0;
    let mark: string | undefined;
    await until('older transactions to end', async () => {
      await using source = await connectTo(this.#pair.source);
      mark ??= (
        await source.query<{ id: string }>(/* sql */ `select pg_current_xact_id()::text as id`)
      ).rows[0]?.id;
      const { rows } = await source.query<{ over: boolean }>(
        /* sql */ `select pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 as over`,
        [mark],
      );
      return rows[0]?.over;
    });
  }

  async #has(client: pg.Client, table: RandomTable, id: number): Promise<boolean> {
    const { rows } = await client.query(
      /* sql */ `select from ${table.name} t where ${this.#where(table, 't', id)}`,
    );
    return rows.length > 0;
  }

  async #write(
    target: pg.Client,
    kind: ForeignKind,
    table: RandomTable,
    from: number,
  ): Promise<ForeignWrite> {
    // As somebody may who bypasses the target's fence.
    await target.query(/* sql */ `set walferry.apply = on; set session_replication_role = replica`);
    const one = from + this.#pick.below(STILL_ROWS / 2);
    const other = from + STILL_ROWS / 2 + this.#pick.below(STILL_ROWS / 2);
    const { rowCount } = await target.query(this.#statement(kind, table, one, other));
    const keys = kind === 'swapped' ? 2 : 1;
    if (rowCount !== keys) throw new Error(`${kind} in ${table.name} wrote ${rowCount} rows`);
    const { rows } = await target.query<{ name: string }>(/* sql */ `
      select n.nspname || '.' || c.relname as name
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.oid = '${table.name.replaceAll("'", "''")}'::regclass
          or c.oid in (select relid from pg_partition_tree('${table.name.replaceAll("'", "''")}'))`);
    return { kind, tables: rows.map(({ name }) => name), keys };
  }

  #statement(kind: ForeignKind, table: RandomTable, one: number, other: number): string {
    const pick = this.#pick;
    const { name, large, columns } = table;
    const where = this.#where(table, 't', one);
    switch (kind) {
      case 'byte': {
        const at = 1 + pick.below(STILL_BYTES);
        return /* sql */ `update ${name} t set ${large} = overlay(${large} placing 'X' from ${at}) where ${where}`;
      }
      case 'value': {
        // Null until now.
        const { column, type } = pick.one(columns);
        return /* sql */ `update ${name} t set ${column} = ${type.value(pick, this.#schema.texts)} where ${where}`;
      }
      case 'missing':
        return /* sql */ `delete from ${name} t where ${where}`;
      case 'extra':
        return fill(table, this.#schema.texts, {
          ...{ from: one + STILL_ROWS, rows: 1, repeats: STILL_REPEATS },
        });
      case 'swapped': {
        const pair = [
          `(${where} and ${this.#where(table, 'o', other)})`,
          `(${this.#where(table, 't', other)} and ${this.#where(table, 'o', one)})`,
        ];
        return /* sql */ `update ${name} t set ${large} = o.${large} from ${name} o where ${pair.join(' or ')}`;
      }
      case 'duplicate': {
        const all = [table.key, columns, table.references, table.counter ? [table.counter] : []];
        const list = [...all.flat().map(({ column }) => column), large].join(', ');
        return /* sql */ `insert into ${name} (${list}) overriding system value
          select ${list} from ${name} t where ${where}`;
      }
    }
  }

  #where({ key }: RandomTable, alias: string, id: number): string {
    return key
      .map(({ column, type }) => `${alias}.${column} = ${type.value(id, this.#schema.texts)}`)
      .join(' and ');
  }
}
