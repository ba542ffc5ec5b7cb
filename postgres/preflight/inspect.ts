/**
 * Preflight: everything that would make the migration fail or lose data, found before anything is changed, and told in one go.
 * Facts first (gather.ts), then every check over them (checks.ts).
 */
import { inOrder, type Finding } from '../../contract/finding.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { CHECKS } from './checks.ts';
import type { Facts } from './facts.ts';
import { gatherFacts } from './gather.ts';

/**
 * The findings, errors first; none for a pair that is ready. Changes nothing on either side (a temporary slot lives for a
 * moment on the source).
 * @throws `signal.reason` when aborted; what is wrong with a database is a finding, not an error.
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

/** All checks over the facts. Pure. */
export function check(facts: Facts): Finding[] {
  return inOrder(CHECKS.flatMap((check) => check(facts)));
}
