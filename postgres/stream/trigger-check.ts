/**
 * The stream commits no transaction in which a trigger or rule of the target fired: see schema/enabled-trigger.ts. A lease
 * disables those that it finds at its start until the cutover. One that is created later ends the lease, its effects are rolled
 * back, and the next lease disables it.
 */
import type pg from 'pg';
import type { PlannedRelation } from '../apply/change.ts';
import type { Question } from '../apply/folded-flight.ts';
import { destinationOf } from '../apply/target-table.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { triggerQuery, firingStates, readEnabledTriggers } from '../schema/enabled-trigger.ts';
import { CatalogMoved } from '../drift/catalog-moved.ts';

/** Collects the tables that the open transaction has written to. */
export class TriggerCheck {
  readonly #states: readonly string[];
  readonly #touched = new Map<string, TableName>();

  constructor(replicaRole: boolean) {
    this.#states = firingStates(replicaRole);
  }

  met(relations: Iterable<PlannedRelation>): void {
    for (const relation of relations) {
      const table = destinationOf(relation);
      this.#touched.set(keyOfName(table), table);
    }
  }

  /**
   * The same check as a query that is sent directly after rows of these tables. It finds nothing if the tables have no enabled
   * triggers, and the rows' locks keep it that way.
   */
  question(relations: readonly PlannedRelation[]): Question {
    return { ...triggerQuery(relations.map(destinationOf), this.#states), rows: 0 };
  }

  /** The query for these tables found nothing. */
  settled(relations: readonly PlannedRelation[]): void {
    for (const relation of relations) this.#touched.delete(keyOfName(destinationOf(relation)));
  }

  /**
   * The last check before the commit: afterwards the transaction's locks prevent others from creating a trigger.
   * @throws CatalogMoved when something fired or could have fired.
   */
  async refuse(target: pg.ClientBase): Promise<void> {
    if (this.#touched.size === 0) return;
    const [enabled] = await readEnabledTriggers(target, [...this.#touched.values()], this.#states);
    if (enabled) throw new CatalogMoved(`${enabled.schema_name}.${enabled.table_name}`, null);
    this.#touched.clear();
  }
}
