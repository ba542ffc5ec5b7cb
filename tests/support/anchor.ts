/** Anchors for tests: an owner that makes each of its moves when the test says so, and the comparison of both sides at one. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { parseLsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import {
  askForAnchor,
  recordTaken,
  type Asked,
  readAsked,
} from '../../postgres/store/anchor-request.ts';
import { connectTo, type FreshPair } from './database.ts';
import { until } from './until.ts';

export class ManualOwner implements AsyncDisposable {
  readonly id = randomUUID();
  readonly #migration: Migration;
  readonly #source: pg.Client & AsyncDisposable;
  readonly #target: pg.Client & AsyncDisposable;

  private constructor(
    migration: Migration,
    source: pg.Client & AsyncDisposable,
    target: pg.Client & AsyncDisposable,
  ) {
    this.#migration = migration;
    this.#source = source;
    this.#target = target;
  }

  /** Asks for an anchor. */
  static async ask(db: FreshPair, migration: Migration): Promise<ManualOwner> {
    const [source, target] = await Promise.all([connectTo(db.source), connectTo(db.target)]);
    const owner = new ManualOwner(migration, source, target);
    await askForAnchor(target, migration, owner.id);
    return owner;
  }

  /** The row of its request. */
  async asked(): Promise<Asked | null> {
    return readAsked(this.#target, this.#migration);
  }

  async untilState(state: Asked['state']): Promise<void> {
    await until(`the request to be ${state}`, async () => (await this.asked())?.state === state, {
      everyMilliseconds: 5,
    });
  }

  /** Why it was given up. */
  async reason(): Promise<string | null> {
    const { rows } = await this.#target.query<{ reason: string | null }>(
      /* sql */ `select reason from walferry.anchor where id = $1`,
      [this.id],
    );
    return rows[0]?.reason ?? null;
  }

  /** Takes the snapshot of the source, and tells the stream. */
  async take(): Promise<void> {
    await this.#source.query(/* sql */ `begin isolation level repeatable read read only`);
    const { rows } = await this.#source.query<{
      visible: string;
      name: string;
      lsn: string;
    }>(/* sql */ `select pg_current_snapshot()::text as visible, pg_export_snapshot() as name,
                        pg_current_wal_insert_lsn()::text as lsn`);
    const [row] = rows;
    if (!row) throw new Error('no snapshot');
    const taken = { ...row, lsn: parseLsn(row.lsn) };
    if (!(await recordTaken(this.#target, this.#migration, this.id, taken)))
      throw new Error('the stream does not stand');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#source[Symbol.asyncDispose](), this.#target[Symbol.asyncDispose]()]);
  }
}

/** Asks over its own session what an exported snapshot shows. */
export async function readAt<T extends pg.QueryResultRow>(
  service: string,
  snapshot: string,
  sql: string,
): Promise<T[]> {
  await using client = await connectTo(service);
  await client.query(/* sql */ `begin isolation level repeatable read read only`);
  await client.query(`set transaction snapshot '${snapshot}'`);
  return (await client.query<T>(sql)).rows;
}

/** The barrier in force; undefined without one. */
export async function barrierRow(
  target: pg.ClientBase,
): Promise<{ anchor: string; lsn: string } | undefined> {
  const { rows } = await target.query<{ anchor: string; lsn: string }>(
    /* sql */ `select anchor, lsn::text from walferry.barrier`,
  );
  return rows[0];
}
