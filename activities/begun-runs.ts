/**
 * What a worker does once for each run of a workflow. Only the run's id tells a reset: the history up to the reset point is the
 * same, and so is every decision of the workflow's code.
 */
import type { Migration } from '../contract/migration.ts';
import type { Work } from '../contract/work.ts';

export class BegunRuns {
  /** The newest run of each migration. */
  readonly #newest = new Map<string, string>();

  /** Runs `begin` unless it has succeeded here for this run; always for a call that belongs to none. */
  async begin(
    { id }: Migration,
    { run }: Pick<Work, 'run'>,
    begin: () => Promise<void>,
  ): Promise<void> {
    if (run !== undefined && this.#newest.get(id) === run) return;
    await begin();
    if (run !== undefined) this.#newest.set(id, run);
  }
}
