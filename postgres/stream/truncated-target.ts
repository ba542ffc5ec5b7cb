/** Target tables that this lease truncates: a TRUNCATE gives them a new file, which the next drift check must expect. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Change } from '../apply/change.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import { readKeepers, type Keeper } from '../catalog/table-file.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { storeKeepers, type PlannedDefinition } from '../store/planned-definition.ts';
import { type PlannedRelationRow } from '../store/planned-relation.ts';

export class TruncatedTargets {
  /** Truncated in the open transaction. */
  readonly #open = new Set<string>();
  /** The new files of those truncated in committed transactions, by plan number. */
  readonly #files = new Map<number, Keeper>();

  /** Notes which tables TRUNCATEs among these changes give a new file. */
  met(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind !== 'truncate') continue;
      for (const { schema, name, destination } of change.relations) {
        // A partition via root is emptied by a DELETE in its root, which keeps the files: a new file has another reason.
        if (destination === undefined) this.#open.add(keyOfName({ schema, name }));
      }
    }
  }

  /** Stores the new files in the open transaction. */
  async store(
    target: pg.ClientBase,
    migration: Migration,
    rows: readonly PlannedRelationRow[],
  ): Promise<void> {
    if (this.#open.size === 0) return;
    const made = await keepersOf(target, rows, this.#open);
    await storeKeepers(target, migration, made);
    for (const [id, keeper] of made) this.#files.set(id, keeper);
    this.#open.clear();
  }

  /** The definition with the table's new file, if it has one. */
  withFile(id: number, definition: PlannedDefinition): PlannedDefinition {
    const keeper = this.#files.get(id);
    return keeper ? { ...definition, keeper } : definition;
  }
}

/** The new files of truncated target tables, by plan number. */
async function keepersOf(
  target: pg.ClientBase,
  rows: readonly PlannedRelationRow[],
  names: ReadonlySet<string>,
): Promise<Map<number, Keeper>> {
  const found = rows.filter((row) => row.definition && names.has(keyOfName(destinationOf(row))));
  const tables = await readRelationsNamed(target, destinationsOf(found));
  const oids = new Map(tables.map((one) => [keyOfName(one), one.oid]));
  const keepers = await readKeepers(target, [...oids.values()]);
  return new Map(
    found.flatMap((row) => {
      const keeper = keepers.get(oids.get(keyOfName(destinationOf(row))) ?? 0);
      return keeper ? [[row.id, keeper] as const] : [];
    }),
  );
}
