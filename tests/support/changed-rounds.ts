/**
 * Rounds of the proof that the check within the box names a table with one foreign write, and none without: a verification, random
 * changes of the application that the stream applies, in half of the rounds one write of somebody else on the target, then the
 * counts and the comparison of changed rows. Short in a test, long from `npm run prove`.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { compareChanged } from '../../postgres/cutover/compare-changed.ts';
import { compareCounts } from '../../postgres/cutover/compare-counts.ts';
import { dropSlot } from '../../postgres/slot/drop-slot.ts';
import { runVerification } from '../../postgres/verification/whole-verification.ts';
import { inputOf, recordedWork } from './control.ts';
import { connectTo, freshPair, type FreshPair } from './database.ts';
import { statesOf } from './held-states.ts';
import type { Pick } from './random/pick.ts';
import { drain, EVERYTHING, startMigration } from './stream.ts';

const TABLES = ['plain', 'large', 'tree', 'bare'] as const;
type Table = (typeof TABLES)[number];
const VIA = { ...EVERYTHING, viaPartitionRoot: ['public.tree'] };
const COLUMNS = 'id int, part int, v text, n numeric';
/** All have the same columns. `large` has values out of line, `bare` no key: its rows are only counted. */
const COMMON = /* sql */ `
  create table plain (${COLUMNS}, primary key (id, part));
  create table large (${COLUMNS}, primary key (id)); alter table large alter v set storage external;
  create table bare (${COLUMNS}); alter table bare replica identity full;`;
const SOURCE = /* sql */ `${COMMON}
  create table tree (${COLUMNS}, primary key (id, part)) partition by list (part);
  create table tree_1 partition of tree for values in (1); create table tree_2 partition of tree for values in (2);
  ${TABLES.map((name) => `insert into ${name} select g, 1 + g % 2, 'old ' || g, 1.0 from generate_series(1, 40) g;`).join('')}`;
const TARGET = /* sql */ `${COMMON} create table tree (${COLUMNS}, primary key (id, part));`;
const NOT_COMPARED = 'public.bare: it has no key';

/** Few, so that keys are deleted and inserted again. */
const IDS = 60;
const MOST_PARTITIONS = 8;
/** Above every id of the application. */
const FOREIGN_ID = 1_000_000;
const LIMIT = { milliseconds: 60_000 };

const KINDS = ['value', 'scale', 'missing', 'extra', 'swapped', 'moved'] as const;
type Kind = (typeof KINDS)[number];

export class ChangedRounds implements AsyncDisposable {
  readonly #db: FreshPair;
  readonly #migration: Migration;
  readonly #input: MigrationInput;
  #partitions = 2;

  private constructor(db: FreshPair, migration: Migration) {
    this.#db = db;
    this.#migration = migration;
    this.#input = inputOf(db, { tables: VIA });
  }

  static async start(): Promise<ChangedRounds> {
    const db = await freshPair();
    const migration = await startMigration(db, SOURCE, VIA, TARGET);
    await drain(db, migration, VIA);
    return new ChangedRounds(db, migration);
  }

  /** @throws Error when the checks name another table than the one with the foreign write, or none. */
  async round(pick: Pick): Promise<Record<string, number>> {
    const { sourceClient: source, targetClient: target } = this.#db;
    const counts: Record<string, number> = { transactions: await this.#untilEqual(pick) };
    if (this.#partitions < MOST_PARTITIONS && pick.chance(0.1)) {
      const part = (this.#partitions += 1);
      await source.query(`create table tree_${part} partition of tree for values in (${part})`);
      counts['new partitions'] = 1;
    }
    for (let left = 1 + pick.below(3); left > 0; left -= 1) {
      await this.#transaction(source, pick, pick.chance(0.8));
      counts['transactions'] = (counts['transactions'] ?? 0) + 1;
    }
    await drain(this.#db, this.#migration, VIA);
    const table = pick.one(TABLES);
    // A row without a key has no name: only the number of rows is compared.
    const kind = pick.one(table === 'bare' ? (['missing', 'extra'] as const) : KINDS);
    const foreign = pick.chance(0.5);
    if (foreign) {
      const { rowCount } = await target.query(foreignWrite(kind, table, pick));
      if (rowCount !== (kind === 'swapped' ? 2 : 1)) throw new Error(`${kind} wrote ${rowCount}`);
    }
    const { named, rows } = await this.#check();
    const wanted = foreign ? `public.${table}` : undefined;
    if (foreign ? !named.includes(`public.${table}`) : named.length > 0) {
      throw new Error(`${kind} in ${wanted ?? 'no table'}, and named: ${named.join() || 'none'}`);
    }
    if (named.some((one) => one !== wanted)) throw new Error(`also named: ${named.join()}`);
    if (!foreign) return { ...counts, 'rounds without a foreign write': 1, 'rows compared': rows };
    await this.#restore(table);
    return { ...counts, [`foreign writes: ${kind}`]: 1 };
  }

  /** A verification, in some rounds while a transaction with subtransactions is open. @returns transactions. */
  async #untilEqual(pick: Pick): Promise<number> {
    const step = { migration: this.#migration, input: this.#input, verification: randomUUID() };
    await using writer = await connectTo(this.#db.source);
    const open = pick.chance(0.4);
    if (open) await this.#changes(writer, pick, 'begin');
    const report = await runVerification(step, recordedWork(), statesOf(this.#db));
    if (report.result !== 'equal') {
      throw new Error(`the verification before the changes: ${JSON.stringify(report)}`);
    }
    if (!open) return 0;
    await this.#changes(writer, pick);
    await writer.query(pick.chance(0.7) ? 'commit' : 'rollback');
    return 1;
  }

  async #transaction(client: pg.Client, pick: Pick, committed: boolean): Promise<void> {
    await this.#changes(client, pick, 'begin');
    await client.query(committed ? 'commit' : 'rollback');
  }

  /** Some changes, a part of them in subtransactions, which may be rolled back. */
  async #changes(client: pg.Client, pick: Pick, first = ''): Promise<void> {
    const statements = [first];
    for (let left = 2 + pick.below(8); left > 0; left -= 1) {
      const change = this.#change(pick);
      const end = pick.chance(0.4) ? 'rollback to s' : 'release s';
      statements.push(...(pick.chance(0.3) ? ['savepoint s', change, end] : [change]));
    }
    await client.query(statements.join('; '));
  }

  #change(pick: Pick): string {
    const table = pick.one(TABLES);
    const [id, other] = [1 + pick.below(IDS), 1 + pick.below(IDS)];
    const part = 1 + pick.below(this.#partitions);
    const text = `${pick.below(1_000_000)}`;
    const v = table === 'large' ? `repeat(md5('${text}'), 100)` : `'v ${text}'`;
    // Another row must not have the key already.
    const free = (condition: string) => `not exists (select from ${table} o where ${condition})`;
    switch (pick.below(7)) {
      case 0:
      case 1:
        return `insert into ${table} values (${id}, ${part}, ${v}, ${pick.below(100)}.50) on conflict do nothing`;
      case 2:
        return `update ${table} set v = ${v} where id = ${id}`;
      case 3:
        return `update ${table} set n = n + 0.10 where id between ${id} and ${id + 8}`;
      case 4:
        return `update ${table} set id = ${other} where id = ${id} and ${free(`o.id = ${other}`)}`;
      case 5:
        return `update ${table} t set part = ${part} where id = ${id} and part = (select min(part) from ${table} where id = ${id}) and ${free(`o.id = t.id and o.part = ${part}`)}`;
      default:
        return `delete from ${table} where id = ${id}`;
    }
  }

  /** What the box runs. */
  async #check(): Promise<{ readonly named: readonly string[]; readonly rows: number }> {
    const named: string[] = [];
    const naming = async <T>(check: Promise<T>): Promise<T | null> => {
      try {
        return await check;
      } catch (error) {
        if (!(error instanceof MigrationError) || error.code !== 'NotEqual') throw error;
        named.push(String(error.details.table));
        return null;
      }
    };
    await naming(compareCounts(this.#migration, this.#input, recordedWork()));
    const report = await naming(
      compareChanged(this.#migration, this.#input, LIMIT, recordedWork()),
    );
    const not = report?.notCompared.join() ?? NOT_COMPARED;
    if (not !== NOT_COMPARED) throw new Error(`not compared: ${not}`);
    return { named, rows: report?.rows ?? 0 };
  }

  /** The source's rows again. */
  async #restore(table: Table): Promise<void> {
    const { rows } = await this.#db.sourceClient.query<{ all: string }>(
      /* sql */ `select coalesce(json_agg(t), '[]')::text as all from ${table} t`,
    );
    await this.#db.targetClient.query(/* sql */ `delete from ${table}`);
    await this.#db.targetClient.query(
      /* sql */ `insert into ${table} select * from json_populate_recordset(null::${table}, $1)`,
      [rows[0]?.all],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await dropSlot(this.#migration);
    await this.#db[Symbol.asyncDispose]();
  }
}

/** One write at a random place. */
function foreignWrite(kind: Kind, table: Table, pick: Pick): string {
  const order = `order by md5(t.id || ' ' || t.part || ' ${pick.below(1_000_000)}')`;
  const one = `ctid = (select t.ctid from ${table} t ${order} limit 1)`;
  switch (kind) {
    case 'value':
      return `update ${table} set v = v || 'x' where ${one}`;
    case 'scale':
      return `update ${table} set n = (n || '0')::numeric where ${one}`;
    case 'missing':
      return `delete from ${table} where ${one}`;
    case 'extra':
      return `insert into ${table} values (${FOREIGN_ID}, 1, 'foreign', 1)`;
    case 'moved':
      return `update ${table} set id = id + ${FOREIGN_ID} where ${one}`;
    case 'swapped':
      return `update ${table} w set v = case when w.ctid = x.a then x.v else x.w end from (
        select t.ctid as a, o.ctid as b, o.v, t.v as w from ${table} t join ${table} o on o.v <> t.v ${order}, o.id, o.part limit 1) x
        where w.ctid in (x.a, x.b)`;
  }
}
