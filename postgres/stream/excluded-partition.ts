/** Partitions whose changes were excluded: to be stored with the position of these changes, because they may be selected later. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Left } from '../drift/table-mapping.ts';
import { addLeft, storeWithheld, type Withheld } from '../store/withheld.ts';

export class ExcludedPartitions {
  readonly #source: pg.ClientBase;
  readonly #met: TableName[] = [];
  #known: Withheld | null;

  constructor(source: pg.ClientBase, known: Withheld | null) {
    this.#source = source;
    this.#known = known;
  }

  /** A name is excluded; notes it if it is a partition. */
  async met(left: Left): Promise<void> {
    if (left.fingerprint !== null && (await isPartition(this.#source, left))) this.#met.push(left);
  }

  /** Stores them in the open transaction. */
  async store(target: pg.ClientBase, migration: Migration): Promise<void> {
    if (this.#met.length === 0) return;
    this.#known = addLeft(this.#known, this.#met.splice(0));
    await storeWithheld(target, migration, this.#known);
  }
}

/** Only a current partition can join its tree without a copy: any other table gets a new link to its tree when it is attached. */
async function isPartition(source: pg.ClientBase, { schema, name }: TableName): Promise<boolean> {
  const { rows } = await source.query<{ partition: boolean }>(
    /* sql */ `select c.relispartition as partition from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  );
  return rows[0]?.partition === true;
}
