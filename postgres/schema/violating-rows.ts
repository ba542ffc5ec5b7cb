/**
 * Rows that break a constraint or unique index that could not be built: their number on the target, and the query that lists
 * them. Messages contain only the query and the number, never a row's values.
 */
import { listed } from '../../contract/listed.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { SQLSTATE } from '../connection/failure.ts';
import { inSavepoint } from '../connection/in-transaction.ts';
import { Defaults } from '../connection/defaults.ts';
import { useApplicationSettings } from './application-settings.ts';
import type { Session } from '../session/session.ts';
import { readListing } from '../dump/definition-listing.ts';
import type { StoredEntry } from '../store/schema-entry.ts';
import { markBroken, SHOW_ALL_BROKEN, showBroken } from '../store/entry-mark.ts';

/** Counting may compare every row with every other (exclusion constraints); the operator gets the query in any case. */
const COUNT_LIMIT_MS = 60_000;
/** Keeps messages readable; they are also stored in Temporal's history. */
const LONGEST_QUERY = 1_500;
/** Temporal cuts messages at 4 KiB; the control schema has the complete list. */
const MOST_CHARACTERS = 2_500;

/**
 * Adds count and query to the failure of an entry that rows break, and stores both with the entry. Returns the failure
 * unchanged when the source has no definition or the rows cannot be counted: the operator needs it in any case.
 * @throws signal.reason when aborted.
 */
export async function withViolatingRows(
  failure: MigrationError,
  where: { readonly migration: Migration; readonly entry: StoredEntry; readonly session: Session },
  work: Work,
): Promise<MigrationError> {
  const { migration, entry, session } = where;
  try {
    const query = await readListing(migration, entry);
    if (query === null) return failure;
    const defaults = await Defaults.read(migration.target, 'index', session);
    const rows = await count(session, entry, query, defaults);
    await session.run((client) => markBroken(client, migration.id, entry.id, { rows, query }));
    const counted =
      rows === null
        ? `the rows that break it could not be counted within ${COUNT_LIMIT_MS / 1000} s`
        : `${rows} ${rows === '1' ? 'row breaks' : 'rows break'} it`;
    const known = { ...failure.details, ...(rows === null ? {} : { rows }) };
    // A predicate may be pages long, and a truncated query is useless.
    return query.length <= LONGEST_QUERY
      ? new MigrationError(
          failure.code,
          `${failure.message}: ${counted}; to list them, on either side: ${query}`,
          { ...known, query },
          failure.cause,
        )
      : new MigrationError(
          failure.code,
          `${failure.message}: ${counted}; the query that lists them is too long to show (${query.length} characters); on the target: ${showBroken(entry.id)}`,
          known,
          failure.cause,
        );
  } catch (error) {
    work.signal.throwIfAborted();
    work.log.warn('the rows that break a constraint could not be counted', {
      object: failure.details.object,
      error: error instanceof MigrationError ? error.message : 'unclassified',
    });
    return failure;
  }
}

/** Null when counting takes too long. */
async function count(
  session: Session,
  entry: StoredEntry,
  query: string,
  defaults: Defaults,
): Promise<string | null> {
  return session.transaction(async (client) => {
    await useApplicationSettings(client, defaults, entry);
    await client.query(/* sql */ `set local statement_timeout = ${COUNT_LIMIT_MS}`);
    let counted: string | null = null;
    const work = async (): Promise<void> => {
      const { rows } = await client.query<{ count: string }>(
        `select count(*)::text as count from (${query}) broken`,
      );
      counted = rows[0]?.count ?? null;
    };
    await inSavepoint(client, work, (state) => state === SQLSTATE.queryCanceled);
    return counted;
  });
}

/** Rows broke it: a person has to fix them; everything that does not depend on it can still be built. */
export function isConstraintFailure(error: unknown): error is MigrationError {
  return error instanceof MigrationError && error.code === 'ConstraintFailed';
}

/** All failures as one, so that the operator fixes all rows at once instead of one constraint after each resume. */
export function combinedFailure(failures: readonly MigrationError[]): MigrationError | undefined {
  const [first] = failures;
  if (first === undefined || failures.length === 1) return first;
  const shown: string[] = [];
  let length = 0;
  for (const [i, { message }] of failures.entries()) {
    length += message.length;
    if (shown.length > 0 && length > MOST_CHARACTERS) break;
    shown.push(`${i + 1}. ${message}`);
  }
  return new MigrationError(
    first.code,
    `${failures.length} constraints are broken by rows: ${listed(shown, shown.length, '; ', failures.length)}. All of them, on the target: ${SHOW_ALL_BROKEN}`,
    first.details,
    first,
  );
}
