/**
 * Materialized views: filled once the target is first consistent, so that the first queries after a cutover need not wait
 * for it, and refreshed within the cutover, so that they show what the tables hold then. Those that hold nothing on the
 * source stay unpopulated.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { RefreshReport, Work } from '../../contract/work.ts';
import { SQLSTATE } from '../connection/failure.ts';
import { nameEntry, readEntries, type StoredEntry } from './control.ts';
import { endEarlierSessions, Lanes, type Lane } from './lane.ts';
import { patiently, waitBriefly } from './patience.ts';
import { failed, isViolation, prepareSession } from './statement.ts';
import { runTasks, type Task } from './tasks.ts';
import { whileWatched } from './watch.ts';

interface RefreshTask extends Task {
  readonly view: StoredEntry;
}

/**
 * Refreshes and analyzes the materialized views that walferry made. Idempotent: a view that an earlier attempt refreshed for
 * the same position is not refreshed again.
 * @param at the cutover's end mark; null to fill those that are not filled yet.
 * @throws MigrationError `SchemaFailed` naming the view and the SQLSTATE; `signal.reason` when aborted.
 */
export async function refreshViews(
  migration: Migration,
  input: MigrationInput,
  at: Lsn | null,
  work: Work,
): Promise<RefreshReport> {
  await using lanes = new Lanes(migration.target, 'index', work.signal);
  const prepare = async (client: pg.Client) => {
    await prepareSession(client);
    // A refresh runs as the view's owner, for whom row security may filter, as on the source; and its functions may need
    // the search_path that the application's own sessions get.
    await client.query(/* sql */ `set row_security = on; reset search_path`);
    await waitBriefly(client);
  };
  try {
    const first = await lanes.open(prepare);
    await endEarlierSessions(first.client, 'index');
    const all = await readEntries(first.client, migration.id, ['tables', 'indexes', 'constraints']);
    const views = refreshTasks(all);
    if (views.length === 0) return { views: 0 };
    while (lanes.all.length < Math.min(input.copy.parallelism, views.length)) {
      await lanes.open(prepare);
    }
    const progress = { now: '', done: 0, total: views.length };
    await whileWatched(
      { service: migration.target, purpose: 'index', pids: lanes.all.map(({ pid }) => pid) },
      work,
      () => ({ step: 'refreshing materialized views', ...progress }),
      () => refreshAll(views, lanes.all, { migration, at, work }, progress),
    );
    return { views: views.length };
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, {
      what: 'materialized views could not be refreshed',
      code: 'SchemaFailed',
    });
  }
}

interface Refreshing {
  readonly migration: Migration;
  readonly at: Lsn | null;
  readonly work: Work;
}

/**
 * A view that reads another one through a function has no dependency that the server knows of: it meets an unpopulated one,
 * and is tried again after the others, for as long as that helps.
 */
async function refreshAll(
  views: readonly RefreshTask[],
  lanes: readonly Lane[],
  step: Refreshing,
  progress: { now: string; done: number },
): Promise<void> {
  let left = views;
  for (;;) {
    const done = new Set<number>();
    const before = views.length - left.length;
    const early = await runTasks(
      left,
      lanes,
      async (lane, { view, id }) => {
        await refreshOne(lane, view, step);
        done.add(id);
      },
      (running, finished) => {
        progress.now = running.slice(0, 3).join(', ');
        progress.done = before + finished;
      },
      isUnpopulated,
    );
    left = left.filter(({ id }) => !done.has(id));
    if (left.length === 0) return;
    if (done.size === 0) throw early[0];
  }
}

/** A query of an unpopulated materialized view met it. */
function isUnpopulated(error: unknown): boolean {
  return (
    error instanceof MigrationError && error.details.sqlstate === SQLSTATE.notInPrerequisiteState
  );
}

async function refreshOne(
  lane: Lane,
  view: StoredEntry,
  { migration, at, work }: Refreshing,
): Promise<void> {
  const name = `${pg.escapeIdentifier(view.schema ?? '')}.${pg.escapeIdentifier(view.name)}`;
  await patiently(work, () =>
    lane.transaction(async (client) => {
      const { rowCount } = await client.query(
        /* sql */ `
        update walferry.schema_entry set refreshed = $3::pg_lsn
         where migration = $1 and id = $2
           and case when $3::pg_lsn is null
                    then not (select relispopulated from pg_catalog.pg_class where oid = $4::regclass)
                    else refreshed is distinct from $3::pg_lsn end`,
        [migration.id, view.id, at, name],
      );
      if (rowCount === 0) return;
      await client.query(/* sql */ `refresh materialized view ${name}`);
      await client.query(/* sql */ `analyze ${name}`);
    }),
  ).catch((error: unknown) => {
    work.signal.throwIfAborted();
    throw failed(error, {
      what: `${nameEntry(view)} could not be refreshed`,
      object: nameEntry(view),
      code: isViolation(error) ? 'ConstraintFailed' : 'SchemaFailed',
    });
  });
}

/** One task for each view, after those that it reads, also through ordinary views. */
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
  const look = [...view.depends];
  for (let id = look.pop(); id !== undefined; id = look.pop()) {
    // A view may depend on its own rule, which pg_dump took out of it.
    if (found.has(id) || id === view.id) continue;
    found.add(id);
    look.push(...(byId.get(id)?.depends ?? []));
  }
  return found;
}
