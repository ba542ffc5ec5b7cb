/**
 * Indexes and index constraints, built after the rows over several sessions. Every build is one transaction with its mark: an
 * interrupted build leaves nothing (no CONCURRENTLY, so no invalid index), and a finished one is not repeated.
 */
import pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { IndexReport, Work } from '../../contract/work.ts';
import { Defaults } from '../connection/defaults.ts';
import { sqlstate } from '../connection/failure.ts';
import { combinedFailure, isConstraintFailure } from './violating-rows.ts';
import { buildFailure, failingOf } from './build-failure.ts';
import { useApplicationSettings } from './application-settings.ts';
import type { Session } from '../session/session.ts';
import { matchExisting } from './equal-index.ts';
import { OwnerRights } from '../archive/owner.ts';
import { entryToday, recordDropped } from './source-today.ts';
import { failed, prepareSession } from '../session/ddl-failure.ts';
import { runTasks, type Task } from './run-tasks.ts';
import { whileWatched } from '../session/liveness.ts';
import { reportPhase } from '../store/entry-count.ts';
import { claimEntry } from '../store/entry-mark.ts';
import { type StoredEntry, readWaiting, nameEntry, partOf } from '../store/schema-entry.ts';
import { stepSessions } from '../session/open.ts';

interface BuildTask extends Task {
  readonly entry: StoredEntry;
}

/** An object of that name exists: duplicate table (index), duplicate object, a second primary key. */
const TAKEN = new Set(['42P07', '42710', '42P16']);

/**
 * Builds every index, primary key, unique and exclusion constraint, index attachment and statistics object of the migration.
 * Idempotent. Does nothing when walferry did not create the tables.
 * A unique or exclusion constraint that rows violate, and what depends on it, is left to `buildConstraints`: until then the
 * stream applies what was fixed on the source. A primary key or replica identity is not, because the stream needs it.
 * @throws MigrationError `ConstraintFailed` with every such key that rows break, with count and query, after all others were
 *   built; `SchemaFailed` with object and table; `signal.reason` when aborted.
 */
export async function buildIndexes(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<IndexReport> {
  await using sessions = stepSessions({ side: 'target', migration, purpose: 'index' }, work.signal);
  try {
    const prepare = (client: pg.ClientBase): Promise<void> => prepareBuilding(client, input);
    const first = await sessions.open(prepare);
    const [pending, pages] = await whileWatched(
      [first],
      work,
      () => ({ step: 'reading the objects to build' }),
      async () => [await readWaiting(first, migration.id, 'indexes'), await tablePages(first)],
    );
    const tasks = pending.map((entry) => buildTask(entry, pages));
    const postponed = new Set<number>();
    const defaults = await Defaults.read(migration.target, 'index', first);

    while (sessions.all.length < input.copy.parallelism) await sessions.open(prepare);
    const { all } = sessions;
    const progress = { running: [] as readonly string[], done: 0, total: tasks.length };
    const onChange = (running: readonly string[], done: number) =>
      Object.assign(progress, { running, done });
    await whileWatched(
      all,
      work,
      () => ({
        step: 'building indexes',
        now: progress.running.slice(0, 3).join(', '),
        done: progress.done,
        total: progress.total,
      }),
      async () => {
        const broken = await runTasks(
          tasks,
          all,
          (session, task) =>
            buildOrPostpone(session, migration, task, { work, defaults, postponed }),
          onChange,
          isConstraintFailure,
        );
        const failure = combinedFailure(broken.filter(isConstraintFailure));
        if (failure !== undefined) throw failure;
      },
    );
    return await reportPhase(first, migration.id, 'indexes');
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, { what: 'indexes could not be built', code: 'SchemaFailed' });
  }
}

/** More memory speeds up few indexes. */
const MOST_MEMORY_MB = 256;

/**
 * Settings of a session that builds indexes. By default a session gets its share of a quarter of the target's `shared_buffers`
 * (all that SQL shows of a server's memory), at most 256 MiB, and never less than the target's own setting.
 */
async function prepareBuilding(
  client: pg.ClientBase,
  // Attempts that an earlier version scheduled have no such field.
  { index = {}, copy }: Pick<MigrationInput, 'copy'> & Partial<Pick<MigrationInput, 'index'>>,
): Promise<void> {
  const literal = (value: number | undefined): string =>
    value === undefined ? 'null' : pg.escapeLiteral(String(value));
  await prepareSession(
    client,
    /* sql */ `
    select pg_catalog.set_config('maintenance_work_mem', (coalesce(${literal(index.memoryMegabytes)}::int8 * 1024 * 1024, greatest(
             pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')),
             least(${MOST_MEMORY_MB}::int8 * 1024 * 1024, pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')) / 4 / ${literal(copy.parallelism)}::int8))) / 1024)::text || 'kB', false),
           pg_catalog.set_config('max_parallel_maintenance_workers',
             coalesce(${literal(index.parallelWorkers)}::text, pg_catalog.current_setting('max_parallel_maintenance_workers')), false)`,
  );
}

function buildTask(entry: StoredEntry, pages: ReadonlyMap<string, number>): BuildTask {
  const { tables } = entry;
  return {
    id: entry.id,
    depends: entry.depends,
    tables,
    // A plain CREATE INDEX shares its table with others. With a second statement (CLUSTER ON, REPLICA IDENTITY), two of them
    // would hold the same lock and wait for each other to upgrade it.
    exclusive: !(entry.kind === 'INDEX' && !/;\s*\n/.test(entry.sql)),
    weight: Math.max(0, ...tables.map((table) => pages.get(table) ?? 0)),
    label: nameEntry(entry),
    entry,
  };
}

async function tablePages(target: pg.ClientBase): Promise<Map<string, number>> {
  // By file size, not relpages: the tables are not analyzed yet.
  const { rows } = await target.query<{ name: string; bytes: string }>(/* sql */ `
    select n.nspname || '.' || c.relname as name, pg_catalog.pg_relation_size(c.oid)::text as bytes
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')`);
  return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]));
}

async function buildOrPostpone(
  session: Session,
  migration: Migration,
  task: BuildTask,
  { work, defaults, postponed }: { work: Work; defaults: Defaults; postponed: Set<number> },
): Promise<void> {
  const { entry } = task;
  if (entry.depends.some((id) => postponed.has(id))) {
    postponed.add(entry.id);
    return;
  }
  try {
    await buildIndex(session, migration, entry, { work, defaults });
  } catch (error) {
    if (!isConstraintFailure(error) || isIdentity(entry)) throw error;
    postponed.add(entry.id);
    work.log.warn('a unique index waits until the rows that break it are fixed on the source', {
      reason: error.message,
    });
  }
}

/** Whether the stream finds rows by it. pg_dump writes a chosen replica identity after the index. */
function isIdentity({ sql }: StoredEntry): boolean {
  return / PRIMARY KEY /.test(sql) || / REPLICA IDENTITY USING INDEX /.test(sql);
}

/**
 * Builds one entry of the phase and marks it, in one transaction. Idempotent. When the stored statement fails, an entry that the
 * source has dropped since is left out, and one that it has altered is built with its current definition.
 * @throws MigrationError `ConstraintFailed` with count and query of the rows that break it, `SchemaFailed`.
 */
export async function buildIndex(
  session: Session,
  migration: Migration,
  entry: StoredEntry,
  { work, defaults }: { readonly work: Work; readonly defaults: Defaults },
): Promise<void> {
  const { tables } = entry;
  const runOnce = (sql: string) =>
    session.transaction(async (client) => {
      if (!(await claimEntry(client, migration.id, entry.id))) return;
      await useApplicationSettings(client, defaults, entry);
      // Statistics objects have an owner, too.
      const rights = new OwnerRights(client);
      await rights.lend({ schema: entry.schema, sql });
      await client.query(sql);
      await rights.takeBack();
    });
  const of = partOf(entry) === null && tables[0] !== undefined ? ` of ${tables[0]}` : '';
  const what = `${nameEntry(entry)}${of} could not be built`;
  try {
    await runOnce(entry.sql);
  } catch (error) {
    work.signal.throwIfAborted();
    const place = { migration, entry, session };
    const today = await entryToday(error, place, work);
    if (today === 'gone') return recordDropped(place, work);
    if (today !== null) return buildIndex(session, migration, today, { work, defaults });
    if (!TAKEN.has(sqlstate(error) ?? '')) {
      throw await buildFailure(error, entry, { migration, work }, session, what);
    }
    // The operator may have built it by hand; it is accepted if it is identical.
    const rest = await matchExisting(session, entry);
    if (rest === null) {
      throw failed(error, {
        ...failingOf(
          entry,
          `${what}: another object, or an invalid one, has its name or place; drop that object`,
        ),
        code: 'SchemaFailed',
      });
    }
    work.log.info('an index exists already and is kept', { object: nameEntry(entry) });
    await runOnce(rest);
  }
}
