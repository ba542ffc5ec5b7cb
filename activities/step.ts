/** Input of the steps. */
import type { MigrationInput } from '../contract/input-schema.ts';
import type { Migration } from '../contract/migration.ts';

/** For steps that need only the control schema: what each of thousands of steps carries is in the history each time. */
export interface BareStep {
  readonly migration: Migration;
  /** The step is about the way back: its sides are swapped. */
  readonly back?: true;
}

export interface Step extends BareStep {
  readonly input: MigrationInput;
}
