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
import pg from 'pg';
import { FAILURES, MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { RefreshReport, Work } from '../../contract/work.ts';
import { Defaults } from '../connection/defaults.ts';
import { setFor } from '../connection/apply-settings.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { addMissingColumns } from '../store/columns.ts';
import { nameEntry, readEntries, type StoredEntry } from '../store/archive-entry.ts';
import type { Session } from '../session/session.ts';
import { retryLock, BRIEF_LOCK_TIMEOUT } from '../session/brief-lock.ts';
import { wantFilledLater } from './refresh-later.ts';
import { failed, isViolation, prepareSession } from '../session/ddl-failure.ts';
import { runTasks, type Task } from './run-tasks.ts';
import { whileWatched } from '../session/liveness.ts';
import { stepSessions } from '../session/open.ts';

interface RefreshTask extends Task {
  readonly view: StoredEntry;
}

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
    await addMissingColumns(first);
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

/** Whether a view is to be filled, or was excluded by the operator. Avoids reading the entries of a large schema for nothing. */
async function hasViews(target: pg.ClientBase, migration: Migration): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    select from walferry.schema_entry
     where migration = $1 and kind = 'MATERIALIZED VIEW' and (refresh or refresh_state is not null) limit 1`,
    [migration.id],
  );
  return rowCount === 1;
}

/**
 * Names of the views that {@link refreshViews} has yet to fill.
 * @param at the cutover's end mark; null to count only empty ones.
 */
export async function readUnfilled(
  target: pg.ClientBase,
  migration: Migration,
  at: Lsn | null,
): Promise<string[]> {
  const { rows } = await target.query<{ name: string }>(
    /* sql */ `
    select pg_catalog.format('materialized view %s.%s', e.schema_name, e.name) as name
      from walferry.schema_entry e
      join pg_catalog.pg_class c on c.relkind = 'm'
       and c.oid = pg_catalog.to_regclass(pg_catalog.format('%I.%I', e.schema_name, e.name))
     where e.migration = $1 and e.kind = 'MATERIALIZED VIEW' and e.refresh
       and (not c.relispopulated or ($2::pg_lsn is not null and e.refreshed is distinct from $2::pg_lsn))
     order by e.position`,
    [migration.id, at],
  );
  return rows.map(({ name }) => name);
}

/** Views to fill whose names no longer exist on the target. */
async function findGone(
  target: pg.ClientBase,
  all: readonly StoredEntry[],
): Promise<ReadonlySet<number>> {
  const wanted = all.filter(({ refresh }) => refresh);
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select w.id from unnest($1::int[], $2::text[]) as w (id, name)
     where not exists (select from pg_catalog.pg_class c where c.oid = to_regclass(w.name) and c.relkind = 'm')`,
    [wanted.map(({ id }) => id), wanted.map(sqlName)],
  );
  return new Set(rows.map(({ id }) => id));
}

/** Describes a view that the operator excluded; empty for all others. */
function skip(view: StoredEntry, gone: ReadonlySet<number>): string[] {
  if (gone.has(view.id)) return [`${nameEntry(view)} (no longer on the target)`];
  if (view.refresh || view.refreshState === null) return [];
  return [`${nameEntry(view)} (excluded after SQLSTATE ${view.refreshState})`];
}

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
  await sessions[0]?.run((client) =>
    client.query(
      /* sql */ `
      update walferry.schema_entry e set refresh_state = f.state
        from unnest($2::int[], $3::text[]) as f (id, state) where e.migration = $1 and e.id = f.id`,
      [migration.id, ids, failures.map(({ error }) => error.details.sqlstate ?? 'unknown')],
    ),
  );
  const shown = failures
    .slice(0, SHOWN)
    .map(
      ({ view, error }) => `${nameEntry(view)} (SQLSTATE ${error.details.sqlstate ?? 'unknown'})`,
    );
  const more = failures.length > SHOWN ? ` and ${failures.length - SHOWN} more` : '';
  const which = ids.length > SHOWN ? 'refresh_state is not null' : `id in (${ids.join(', ')})`;
  const [first] = failures;
  return new MigrationError(
    failures.length === 1 && first ? first.error.code : 'SchemaFailed',
    `${shown.join(', ')}${more} could not be filled on the target: fix what the query needs there, or exclude the view by running on the target: update walferry.schema_entry set refresh = false where migration = ${pg.escapeLiteral(migration.id)} and ${which}; then try again`,
    first?.error.details,
    first?.error,
  );
}

function sqlName({ schema, name }: StoredEntry): string {
  return `${pg.escapeIdentifier(schema ?? '')}.${pg.escapeIdentifier(name)}`;
}

async function refreshOne(
  session: Session,
  view: StoredEntry,
  { migration, at, work, defaults }: Refreshing,
): Promise<void> {
  const name = sqlName(view);
  await retryLock(work, () =>
    session.transaction(async (client) => {
      const { rowCount } = await client.query(
        /* sql */ `
        update walferry.schema_entry set refreshed = $3::pg_lsn, refresh_state = null
         where migration = $1 and id = $2
           and case when $3::pg_lsn is null
                    then not (select relispopulated from pg_catalog.pg_class where oid = $4::regclass)
                    else refreshed is distinct from $3::pg_lsn end`,
        [migration.id, view.id, at, name],
      );
      if (rowCount === 0) return;
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

/** One task per view; each depends on the views that it reads, also through ordinary views. */
function refreshTasks(all: readonly StoredEntry[]): RefreshTask[] {
  const byId = new Map(all.map((entry) => [entry.id, entry]));
  return all
    .filter(({ refresh }) => refresh)
    .map((view) => ({
      id: view.id,
      depends: [...below(view, byId)],
      tables: [],
      exclusive: false,
      weight: 0,
      label: nameEntry(view),
      view,
    }));
}

function below(view: StoredEntry, byId: ReadonlyMap<number, StoredEntry>): Set<number> {
  const found = new Set<number>();
  const open = [...view.depends];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    // A view may depend on its own rule, which pg_dump writes separately.
    if (found.has(id) || id === view.id) continue;
    found.add(id);
    open.push(...(byId.get(id)?.depends ?? []));
  }
  return found;
}
