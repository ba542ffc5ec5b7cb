/** The source's schema as of one snapshot: the selected tables, and pg_dump's archive of the whole database. */
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { entriesOf, fitting, perTransactionFor, readLockTable } from '../catalog/lock-capacity.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { connectSource } from '../session/open.ts';
import { isSame, readIdentity, wrongServer, type Identity } from '../identity/identity.ts';
import { flushSeen } from '../replication/flushed-mark.ts';
import { readDoubtfulChecks, type DoubtfulCheck } from '../archive/doubtful-check.ts';
import { dumpSchema, OUT_OF_LOCKS } from './pg-dump.ts';
import { readDroppedRoles } from '../archive/init-right.ts';
import { countLocked, readLeaves, readTies, type Tie } from '../catalog/separable-table.ts';
import type { Member } from '../archive/left-extension.ts';
import { coveringPatterns, exactPattern } from './dump-pattern.ts';
import { failed } from '../session/ddl-failure.ts';
import { readNullableColumns, type NullableColumn } from '../archive/nullable-child.ts';
import { isHopeless, OutOfLocks, type Together } from './lock-table-full.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { readMembers, readUncarried, type Uncarried } from './uncarried.ts';

export interface Dump {
  /** One; several when the source's lock table has no room for all tables at once (separable-table.ts). */
  readonly archives: readonly Buffer[];
  /** Dependencies between the archives. */
  readonly ties: readonly Tie[];
  /** Oids of the materialized views that hold rows. */
  readonly populated: ReadonlySet<string>;
  /** Objects that belong to the extensions that the input ignores. */
  readonly members: readonly Member[];
  /** Check constraints that may fail while rows are copied. */
  readonly checks: readonly DoubtfulCheck[];
  readonly nullable: readonly NullableColumn[];
  /** See init-right.ts. */
  readonly droppedRoles: ReadonlySet<string>;
  /** Null: no dump locks more than half of the source's lock table. */
  readonly together: Together | null;
}

/** A read-only transaction on the source; everything it returns is from one snapshot. */
export class SourceSchema implements AsyncDisposable {
  readonly #client: Session;
  readonly #migration: Migration;
  readonly #input: MigrationInput;
  readonly identity: Identity;
  /** Name of the source's database. */
  readonly database: string;
  readonly relations: readonly Relation[];

  private constructor(
    client: Session,
    migration: Migration,
    input: MigrationInput,
    found: { identity: Identity; database: string; relations: readonly Relation[] },
  ) {
    this.#client = client;
    this.#migration = migration;
    this.#input = input;
    this.identity = found.identity;
    this.database = found.database;
    this.relations = found.relations;
  }

  /** Relations that can hold rows or partitions; preflight refuses foreign tables. */
  get tables(): readonly Relation[] {
    return this.relations.filter(({ kind }) => kind !== 'f');
  }

  /** Tables that have a table of their own on the target. */
  get own(): readonly Relation[] {
    return this.tables.filter(({ viaRoot }) => viaRoot === null);
  }

  /** Tables whose rows go through a root that the operator created. */
  get rooted(): readonly Relation[] {
    return this.tables.filter(({ viaRoot }) => viaRoot !== null);
  }

  /** @throws MigrationError `SchemaFailed` when the selection matches no table. */
  static async open(
    migration: Migration,
    input: MigrationInput,
    work: Pick<Work, 'beat'>,
  ): Promise<SourceSchema> {
    const client = await connectSource(migration, 'schema', { unregistered: 'yet' });
    try {
      await client.query(/* sql */ `begin isolation level repeatable read read only`);
      const { rows } = await client.query<{ database: string }>(
        /* sql */ `select pg_catalog.current_database() as database`,
      );
      const database = rows[0]?.database ?? '';
      const identity = await readIdentity(client, migration.source);
      const relations = await whileWatched(
        [client],
        work,
        () => ({ step: 'reading the tables of the source' }),
        () => readRelations(client, input.tables, 'estimated'),
      );
      if (relations.length === 0) {
        throw new MigrationError(
          'SchemaFailed',
          'the selection ("tables" of the input) matches no table of the source',
        );
      }
      return new SourceSchema(client, migration, input, { identity, database, relations });
    } catch (error) {
      await client.end().catch(() => undefined);
      throw failed(error, {
        what: 'the tables of the source could not be read',
        code: 'SchemaFailed',
        side: 'source',
      });
    }
  }

  /**
   * Runs pg_dump on the same snapshot, so that tables and archive agree whatever DDL runs concurrently.
   * @param tablesPerDump for tests; normally as many as the source's lock table has room for.
   */
  async dump(work: Pick<Work, 'signal' | 'beat'>, tablesPerDump?: number): Promise<Dump> {
    const { rows } = await this.#client.query<{ snapshot: string }>(
      /* sql */ `select pg_catalog.pg_export_snapshot() as snapshot`,
    );
    const populated = await this.#client.query<{ oid: string }>(/* sql */ `
      select oid::text from pg_catalog.pg_class where relkind = 'm' and relispopulated`);
    const dumped = await this.#dumpAll(rows[0]?.snapshot ?? '', work, tablesPerDump);
    return this.#watched(work, async () => ({
      ...dumped,
      populated: new Set(populated.rows.map(({ oid }) => oid)),
      members: await readMembers(this.#client, this.#input.ignore.extensions),
      checks: await readDoubtfulChecks(this.#client),
      nullable: await readNullableColumns(this.#client),
      droppedRoles: await readDroppedRoles(this.#client),
    }));
  }

  async #dumpAll(
    snapshot: string,
    work: Pick<Work, 'signal' | 'beat'>,
    tablesPerDump?: number,
  ): Promise<Pick<Dump, 'archives' | 'ties' | 'together'>> {
    const table = await readLockTable(this.#client);
    const size = tablesPerDump ?? fitting(entriesOf(table), 1);
    const all = await countLocked(this.#client);
    if (all <= size) {
      const archive = await dumpSchema(this.#migration.source, snapshot, work);
      return { archives: [archive], ties: [], together: null };
    }
    const { leaves, owned, others, locked } = await this.#watched(work, () =>
      readLeaves(this.#client),
    );
    const setting = perTransactionFor(locked, table);
    const together = locked > size ? { tables: locked, all, setting } : null;
    // It would fill the lock table, and other sessions of the source would fail.
    if (together !== null && isHopeless(locked, table)) throw new OutOfLocks(together);
    const away = coveringPatterns([...leaves, ...owned], others);
    const rest = away.map((pattern) => `--exclude-table=${pattern}`);
    const archives = [
      await dumpSchema(this.#migration.source, snapshot, work, rest).catch((error: unknown) => {
        const full = error instanceof MigrationError && error.message.includes(OUT_OF_LOCKS);
        throw full ? new OutOfLocks({ tables: locked, all, setting }, error) : error;
      }),
    ];
    const ties = await this.#watched(work, () => readTies(this.#client, leaves));
    for (let at = 0; at < leaves.length; at += size) {
      const some = leaves.slice(at, at + size).map((table) => `--table=${exactPattern(table)}`);
      archives.push(await dumpSchema(this.#migration.source, snapshot, work, some));
    }
    return { archives, ties, together };
  }

  #watched<T>(work: Pick<Work, 'beat'>, read: () => Promise<T>): Promise<T> {
    return whileWatched(
      [this.#client],
      work,
      () => ({ step: 'sorting the tables of the source' }),
      read,
    );
  }

  /** Uses a separate connection: an extension's table condition that fails must not end the snapshot's transaction. */
  async uncarried(created: boolean, work: Pick<Work, 'beat'>): Promise<Uncarried> {
    const { source } = this.#migration;
    await using client = await connectSource(this.#migration, 'schema', { unregistered: 'yet' });
    const identity = await readIdentity(client, source);
    if (!isSame(identity, this.identity)) {
      throw wrongServer('source', source, identity, this.identity);
    }
    // The target records what was read here: from now on the source must not lose it.
    await flushSeen(client, this.#migration);
    const selected = this.relations.map(({ oid }) => oid);
    return await whileWatched(
      [client],
      work,
      () => ({ step: 'listing what is not moved' }),
      () => readUncarried(client, this.#input, { created, selected }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}
