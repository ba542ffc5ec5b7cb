/**
 * No transaction of the stream is committed that a trigger or rule of the target took part in: see schema/loud.ts. What a lease finds
 * at its beginning is disabled until the cutover; one that is made later ends the lease with nothing of its effects kept, and the
 * next one disables it.
 */
import type pg from 'pg';
import type { PlannedRelation } from '../apply/change.ts';
import type { Question } from '../apply/folded.ts';
import { destinationOf } from '../apply/table.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { triggerQuery, firingStates, readEnabledTriggers } from '../schema/enabled-trigger.ts';
import { CatalogMoved } from './moved.ts';

/** The tables that the open transaction has written to. */
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
   * The same look at tables whose rows are on their way, to be sent behind them: it finds nothing as long as they are quiet, and the rows'
   * locks keep it so.
   */
  question(relations: readonly PlannedRelation[]): Question {
    return { ...triggerQuery(relations.map(destinationOf), this.#states), rows: 0 };
  }

  /** What a question about these found was nothing. */
  settled(relations: readonly PlannedRelation[]): void {
    for (const relation of relations) this.#touched.delete(keyOfName(destinationOf(relation)));
  }

  /**
   * To be asked last before the commit: the transaction's locks keep others from making one afterwards.
   * @throws CatalogMoved when something fired, or could have.
   */
  async refuse(target: pg.ClientBase): Promise<void> {
    if (this.#touched.size === 0) return;
    const [enabled] = await readEnabledTriggers(target, [...this.#touched.values()], this.#states);
    if (enabled) throw new CatalogMoved(`${enabled.schema_name}.${enabled.table_name}`, null);
    this.#touched.clear();
  }
}
