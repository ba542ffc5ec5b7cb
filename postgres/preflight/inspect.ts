/**
 * Preflight finds everything that would make the migration fail or lose data before anything is changed, and reports it at once.
 * It first gathers facts (gather.ts), then runs every check over them (checks.ts).
 */
import type { Finding } from '../../contract/finding.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { check } from './checks.ts';
import { gatherFacts } from './gather.ts';

/**
 * The findings, errors first; none if both sides are ready. Changes nothing on either side, apart from a short-lived temporary
 * slot on the source.
 * @throws `signal.reason` when aborted; a problem of a database is a finding, not an error.
 */
export async function inspect(
  migration: Migration,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'> = {
    signal: new AbortController().signal,
    beat: () => undefined,
  },
): Promise<Finding[]> {
  return check(await gatherFacts(migration, input, work));
}
