/** What a step of the constraints works with, and how its failure is reported. */
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { Defaults } from '../connection/defaults.ts';
import { withViolatingRows, isConstraintFailure } from './violating-rows.ts';
import { nameEntry, partOf, type StoredEntry } from '../store/schema-entry.ts';
import type { Session } from '../session/session.ts';
import { missingNameAdvice } from './source-today.ts';
import { failed, isViolation, type Failing } from '../session/ddl-failure.ts';

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

/** What the failure of an entry names. @param what it could not be built, as the beginning of the message. */
export function failingOf(entry: StoredEntry, what: string): Omit<Failing, 'code'> {
  const [table] = entry.tables;
  const part = partOf(entry);
  return {
    what,
    object: nameEntry(entry),
    ...(table === undefined ? {} : { table }),
    ...(part === null ? {} : { constraint: part }),
  };
}

/** The failure to report; rows that break the entry are counted. @param what see {@link failingOf}. */
export async function buildFailure(
  error: unknown,
  entry: StoredEntry,
  { migration, work }: Pick<Step, 'migration' | 'work'>,
  session: Session,
  what = `${nameEntry(entry)} could not be built`,
): Promise<unknown> {
  work.signal.throwIfAborted();
  if (error instanceof MigrationError) return error;
  const failure = failed(error, {
    ...failingOf(entry, what),
    code: isViolation(error) ? 'ConstraintFailed' : 'SchemaFailed',
    advice: missingNameAdvice(error, entry),
  });
  return isConstraintFailure(failure)
    ? withViolatingRows(failure, { migration, entry, session }, work)
    : failure;
}
