/** How long the checks of a cutover take in this migration: they run once while the application writes, and nothing is judged. */
import type { ChecksMeasured } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { compareChanged } from './compare-changed.ts';
import { compareCounts } from './compare-counts.ts';

/**
 * @param milliseconds for changed rows, as in the box; 0: they are not compared.
 * @throws MigrationError as the checks, but not `NotEqual`: rows are on their way.
 */
export async function measureChecks(
  migration: Migration,
  input: MigrationInput,
  milliseconds: number,
  work: Work,
): Promise<ChecksMeasured> {
  const began = performance.now();
  await compareCounts(migration, input, work).catch((error: unknown) => {
    if (!(error instanceof MigrationError) || error.code !== 'NotEqual') throw error;
  });
  if (milliseconds > 0) {
    await compareChanged(migration, input, { milliseconds, judged: false }, work);
  }
  return { seconds: (performance.now() - began) / 1000 };
}
