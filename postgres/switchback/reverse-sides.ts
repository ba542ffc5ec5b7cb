/**
 * What the steps of a cutover get when it goes back: the migration with its sides swapped, and the input for it. They are the same
 * steps; the outcome of this cutover is on the old database.
 */
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Selection } from '../catalog/selection.ts';
import { connectTarget } from '../session/open.ts';
import { readNotReturned } from '../store/way-back.ts';

export interface ReverseSides<Input> {
  readonly migration: Migration;
  readonly input: Input;
}

/**
 * Reads what the plan leaves out from the old database.
 * @throws MigrationError `CheckpointMissing` without a plan.
 */
export async function reverseSides<
  Input extends Pick<MigrationInput, 'source' | 'target' | 'tables'>,
>(migration: Migration, input: Input): Promise<ReverseSides<Input>> {
  const reverse = reverseOf(migration);
  await using old = await connectTarget(reverse, 'identity');
  const left = await readNotReturned(old, reverse);
  const { source, target, tables } = input;
  const selection = reverseSelection({ ...tables, exclude: [...tables.exclude, ...left] });
  return {
    migration: reverse,
    input: { ...input, source: target, target: source, tables: { ...tables, ...selection } },
  };
}

/** The selection in the other direction: what goes through a root on one side is plain, or split otherwise, on the other. */
export function reverseSelection(selection: Selection): Selection {
  return { ...selection, mayBeSplit: selection.viaPartitionRoot ?? [] };
}
