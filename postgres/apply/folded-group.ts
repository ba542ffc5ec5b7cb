/** Sorts a batch's folded tables by the settings under which the target evaluates their expressions. */
import { isCustomized, type Settings } from '../connection/apply-settings.ts';
import type { ChangeWriter } from './change-writer.ts';
import type { FoldedFlights, FoldedGroup, FoldedTable } from './folded-flight.ts';
import type { TargetTable } from './target-table.ts';

export class FoldedGroups {
  readonly #batch: ChangeWriter;
  readonly #flights: FoldedFlights;

  constructor(batch: ChangeWriter, flights: FoldedFlights) {
    this.#batch = batch;
    this.#flights = flights;
  }

  /** The groups of these tables; null when the target cannot take the rows of one of them this way. */
  async of(tables: readonly FoldedTable[]): Promise<readonly FoldedGroup[] | null> {
    const ahead = this.#flights.groupsAhead(tables);
    if (ahead !== null) return ahead;
    const described: TargetTable[] = [];
    for (const { relation } of tables) described.push(await this.#batch.table(relation));
    return this.#flights.group(tables, described, this.#settingsOf, ({ refuse }, never) =>
      refuse(never),
    );
  }

  /** Writes the rows ahead of their flight. Does nothing where something must be queried first. */
  prepare(tables: readonly FoldedTable[]): void {
    if (tables.length === 0 || this.#flights.groupsAhead(tables) !== null) return;
    const described = tables.flatMap(({ relation }) => this.#batch.known(relation) ?? []);
    if (described.length < tables.length) return;
    const groups = this.#flights.group(tables, described, this.#settingsOf, () => undefined);
    if (groups === null || groups.some(({ settings }) => isCustomized(settings))) return;
    this.#flights.writeAhead(tables, groups);
  }

  readonly #settingsOf = (table: TargetTable): Settings => this.#batch.settingsOf(table);
}
