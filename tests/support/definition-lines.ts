/** What a comparison of definitions says, and what is said of unlogged tables, as sentences. */
import { wordDifference } from '../../contract/definition.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { unloggedLines } from '../../postgres/cutover/other-differences.ts';
import { compareDefinitions } from '../../postgres/definition/compare-definitions.ts';

export async function definitionLines(
  migration: Migration,
  input: MigrationInput,
  work: Partial<Pick<Work, 'signal' | 'beat'>> = {},
): Promise<string[]> {
  const found = await compareDefinitions(migration, input, work);
  return [
    ...(await unloggedLines(migration, input, work)),
    ...found.filter(({ notCompared }) => notCompared === undefined).map(wordDifference),
  ];
}
