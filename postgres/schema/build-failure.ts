/** What a step of the constraints works with, and how its failure is reported. */
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { Defaults } from '../connection/defaults.ts';
import { explained, isBroken } from './broken.ts';
import { nameEntry, partOf, type StoredEntry } from '../store/schema-entry.ts';
import type { Session } from '../session/session.ts';
import { missingNameAdvice } from './source-today.ts';
import { failed, isViolation } from '../session/ddl-failure.ts';

export interface Step {
  readonly migration: Migration;
  readonly work: Work;
  /** Entries that triggers and rules depend on. */
  readonly tables: ReadonlyMap<number, StoredEntry>;
  readonly enabled: readonly string[];
  /** Comments and grants on objects that walferry did not create. */
  readonly others: ReadonlySet<number>;
  readonly defaults: Defaults;
}

export async function named(
  error: unknown,
  entry: StoredEntry,
  step: Step,
  session: Session,
): Promise<unknown> {
  step.work.signal.throwIfAborted();
  if (error instanceof MigrationError) return error;
  const [table] = entry.tables;
  const part = partOf(entry);
  const failure = failed(error, {
    what: `${nameEntry(entry)} could not be built`,
    object: nameEntry(entry),
    ...(table === undefined ? {} : { table }),
    ...(part === null ? {} : { constraint: part }),
    code: isViolation(error) ? 'ConstraintFailed' : 'SchemaFailed',
    advice: missingNameAdvice(error, entry),
  });
  if (!isBroken(failure)) return failure;
  return explained(failure, { migration: step.migration, entry, session }, step.work);
}
