/** How the changes of a lease were applied: folded per table, or change by change. */
import type { Change } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';

/** Tables that the log names. */
const MOST_NAMED = 1_000;

/**
 * Why a change does not take the fast path: its table never does (`table`), its key changes (`key`), its line is not as the plan
 * expects it (by action: `insert` …), it is too long (`length`), the other side may read its values differently (`values`), or
 * the target refused the rows (`refused`). A change that only follows such a change, or a TRUNCATE, has no separate reason.
 */
export type ExactReason =
  'table' | 'key' | 'insert' | 'update' | 'delete' | 'length' | 'values' | 'refused';

export class LeaseSummary {
  #folded = 0;
  #exact = 0;
  readonly #tables = new Map<string, number>();
  readonly #why = new Map<string, Set<ExactReason>>();

  /** A change of the table leaves the fast path. */
  left(table: TableName, why: ExactReason): void {
    const name = nameOf(table);
    const known = this.#why.get(name);
    if (known) known.add(why);
    else this.#why.set(name, new Set([why]));
  }

  /** @param exact those of the `size` changes that were applied change by change. */
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

  /** For the log: the slow tables, whose changes were applied change by change, those with the most such changes first. */
  get summary(): {
    readonly folded: number;
    readonly exact: number;
    readonly oneByOne: readonly (readonly [table: string, changes: number, why: string])[];
  } {
    const oneByOne = [...this.#tables]
      .sort(([, a], [, b]) => b - a)
      .slice(0, MOST_NAMED)
      .map(([name, changes]) => [name, changes, this.#whyOf(name)] as const);
    return { folded: this.#folded, exact: this.#exact, oneByOne };
  }

  #whyOf(name: string): string {
    return [...(this.#why.get(name) ?? [])].sort().join(', ');
  }
}
