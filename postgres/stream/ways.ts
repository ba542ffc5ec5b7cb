/** Which way the changes of a lease took to the target: folded per table, or one by one. */
import type { Change } from '../apply/change.ts';
import { nameOf } from '../catalog/table-name.ts';

/** Tables that the log names. */
const MOST_NAMED = 200;

export class Ways {
  #folded = 0;
  #exact = 0;
  readonly #tables = new Map<string, number>();

  /** @param exact those of the `size` changes that were applied one by one. */
  applied(size: number, exact: readonly Change[]): void {
    this.#exact += exact.length;
    this.#folded += size - exact.length;
    for (const change of exact) {
      for (const relation of change.kind === 'truncate' ? change.relations : [change.relation]) {
        const name = nameOf(relation);
        this.#tables.set(name, (this.#tables.get(name) ?? 0) + 1);
      }
    }
  }

  /** For the log: the tables whose changes were applied one by one are the slow ones, those with most of them first. */
  get summary(): {
    readonly folded: number;
    readonly exact: number;
    readonly oneByOne: readonly (readonly [table: string, changes: number])[];
  } {
    const oneByOne = [...this.#tables].sort(([, a], [, b]) => b - a).slice(0, MOST_NAMED);
    return { folded: this.#folded, exact: this.#exact, oneByOne };
  }
}
