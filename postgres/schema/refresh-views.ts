/**
 * Materialized views. They are filled once the target is consistent, so that the first queries after a cutover need not wait
 * for it, and refreshed within the cutover, so that they match the tables. Views that are empty on the source stay
 * unpopulated, unless the source fills them before the cutover.
 *
 * Views whose query fails here wait for the operator, together and after all others are filled. If a query cannot be fixed,
 * the operator excludes the view; otherwise it would block the cutover forever:
 *
 *   on the target                              effect
 *   `refresh` of its control row set to false  keeps its state: empty, or with the rows of its last refresh
 *   dropped, renamed, or another object        skipped
 *
 * The report names both, and so does the migration's final summary.
 */
import { stepSessions } from '../session/open.ts';
import { claimRefresh, excludeViews, markRefreshFailed, hasViews } from '../store/view-entry.ts';
import { nameEntry, type StoredEntry, readEntries } from '../store/schema-entry.ts';
import { listed } from '../../contract/listed.ts';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { FAILURES } from '../../contract/failure-catalogue.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { RefreshReport, Work } from '../../contract/work.ts';
import { Defaults } from '../connection/defaults.ts';
import { setFor } from '../connection/apply-settings.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { retryLock, BRIEF_LOCK_TIMEOUT } from '../session/brief-lock.ts';
import type { Session } from '../session/session.ts';
import { wantFilledLater } from './refresh-later.ts';
import { failed, isViolation, prepareSession } from '../session/ddl-failure.ts';
import { runTasks } from './run-tasks.ts';
import { whileWatched } from '../session/liveness.ts';
import { findGone, skip, refreshTasks, type RefreshTask, sqlName } from './view-to-fill.ts';

/**
 * Refreshes and analyzes the materialized views that walferry created. Idempotent: does not repeat the refresh of a view for
 * the same position.
 * @param at the cutover's end mark; null to fill those that are still empty.
 * @throws MigrationError `SchemaFailed` with every view that could not be filled, its SQLSTATE and what to do;
 *   `ConstraintFailed` for a single one whose unique index its rows break; `signal.reason` when aborted.
 */
export async function refreshViews(
  migration: Migration,
  input: MigrationInput,
  at: Lsn | null,
  work: Work,
): Promise<RefreshReport> {
  await using sessions = stepSessions({ side: 'target', migration, purpose: 'index' }, work.signal);
  const prepare = (client: pg.ClientBase) => prepareSession(client, BRIEF_LOCK_TIMEOUT);
  try {
    const first = await sessions.open(prepare);
    if (at !== null) await first.run((client) => wantFilledLater(client, migration, work.signal));
    if (!(await first.run((client) => hasViews(client, migration)))) return { views: 0 };
    const all = await whileWatched(
      [first],
      work,
      () => ({ step: 'reading the materialized views' }),
      () => readEntries(first, migration.id, ['tables', 'indexes', 'constraints']),
    );
    const gone = await first.run((client) => findGone(client, all));
    const skipped = all.flatMap((view) => skip(view, gone));
    const views = refreshTasks(all).filter(({ id }) => !gone.has(id));
    const report = skipped.length === 0 ? {} : { skipped: skipped.slice(0, MOST_SKIPPED) };
    if (views.length === 0) return { views: 0, ...report };
    while (sessions.all.length < Math.min(input.copy.parallelism, views.length)) {
      await sessions.open(prepare);
    }
    const defaults = await Defaults.read(migration.target, 'index', first);
    const progress = { now: '', done: 0, total: views.length };
    await whileWatched(
      sessions.all,
      work,
      () => ({ step: 'refreshing materialized views', ...progress }),
      () => refreshAll(views, sessions.all, { migration, at, work, defaults }, progress),
    );
    return { views: views.length, ...report };
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, {
      what: 'materialized views could not be refreshed',
      code: 'SchemaFailed',
    });
  }
}

/** Bounded, because names are kept in the workflow's history. */
const MOST_SKIPPED = 50;
const SHOWN = 10;

interface Refreshing {
  readonly migration: Migration;
  readonly at: Lsn | null;
  readonly work: Work;
  readonly defaults: Defaults;
}

interface Failure {
  readonly view: StoredEntry;
  readonly error: MigrationError;
}

/**
 * A view that reads another one through a function has no dependency that the server knows of. It fails on the unpopulated
 * view, and is retried after the others, as long as another pass makes progress. Any other failure is final for this attempt:
 * a query may run for an hour before it fails.
 */
async function refreshAll(
  views: readonly RefreshTask[],
  sessions: readonly Session[],
  step: Refreshing,
  progress: { now: string; done: number },
): Promise<void> {
  const final: Failure[] = [];
  let filled = 0;
  for (let left = views; left.length > 0;) {
    const done = new Set<number>();
    const early: Failure[] = [];
    await runTasks(
      left,
      sessions,
      async (session, { view, id }) => {
        try {
          await refreshOne(session, view, step);
          done.add(id);
        } catch (error) {
          if (!isForOperator(error)) throw error;
          (isUnpopulated(error) ? early : final).push({ view, error });
          throw error;
        }
      },
      (running, finished) => {
        progress.now = running.slice(0, 3).join(', ');
        progress.done = filled + finished;
      },
      isForOperator,
    );
    filled += done.size;
    const failing = new Set(final.map(({ view }) => view.id));
    const before = left.length;
    left = left.filter(({ id }) => !done.has(id) && !failing.has(id));
    // Nothing was filled and nothing became final: a further pass cannot help the remaining views.
    if (left.length === before) {
      final.push(...early);
      break;
    }
  }
  if (final.length > 0) throw await refreshFailure(final, sessions, step);
}

function isForOperator(error: unknown): error is MigrationError {
  return error instanceof MigrationError && FAILURES[error.code].handling === 'operator';
}

/** The query read an unpopulated materialized view. */
function isUnpopulated(error: MigrationError): boolean {
  return error.details.sqlstate === SQLSTATE.notInPrerequisiteState;
}

/** One failure for all; it notes each in its control row, by which a later exclusion is recognized. */
async function refreshFailure(
  failures: readonly Failure[],
  sessions: readonly Session[],
  { migration }: Refreshing,
): Promise<MigrationError> {
  const ids = failures.map(({ view }) => view.id);
  const states = failures.map(({ view, error }) => ({
    id: view.id,
    sqlstate: error.details.sqlstate ?? 'unknown',
  }));
  await sessions[0]?.run((client) => markRefreshFailed(client, migration, states));
  const names = failures.map(
    ({ view, error }) => `${nameEntry(view)} (SQLSTATE ${error.details.sqlstate ?? 'unknown'})`,
  );
  const [first] = failures;
  return new MigrationError(
    failures.length === 1 && first ? first.error.code : 'SchemaFailed',
    `${listed(names, SHOWN)} could not be filled on the target: fix what the query needs there, or exclude the view by running on the target: ${excludeViews(migration, ids.length > SHOWN ? null : ids)}; then try again`,
    first?.error.details,
    first?.error,
  );
}

async function refreshOne(
  session: Session,
  view: StoredEntry,
  { migration, at, work, defaults }: Refreshing,
): Promise<void> {
  const name = sqlName(view);
  await retryLock(work, () =>
    session.transaction(async (client) => {
      if (!(await claimRefresh(client, migration, { id: view.id, name, at }))) return;
      // Row security may filter for the owner as on the source; before 17, functions use the session's search path.
      await setFor('transaction', client, await defaults.forTable(client, name, 'queries'));
      await client.query(/* sql */ `refresh materialized view ${name}`);
      await client.query(/* sql */ `analyze ${name}`);
    }),
  ).catch((error: unknown) => {
    work.signal.throwIfAborted();
    // A foreign table or dblink in the query lost its connection, not we: as a lost connection it would be retried forever.
    const state = sqlstate(error);
    if (state?.startsWith('08')) {
      throw new MigrationError('SchemaFailed', `${nameEntry(view)} could not be refreshed`, {
        object: nameEntry(view),
        sqlstate: state,
      });
    }
    throw failed(error, {
      what: `${nameEntry(view)} could not be refreshed`,
      object: nameEntry(view),
      code: isViolation(error) ? 'ConstraintFailed' : 'SchemaFailed',
    });
  });
}
