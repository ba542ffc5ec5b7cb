/** Planner statistics for the copied tables: without them the first queries after a cutover may take minutes. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { AnalyzeReport, Work } from '../../contract/work.ts';
import { Defaults } from '../connection/defaults.ts';
import { setFor } from '../connection/apply-settings.ts';
import { failed, prepareSession } from '../session/ddl-failure.ts';
import { readDueForAnalyze } from '../store/analyzed-table.ts';
import { runTasks, type Task } from './run-tasks.ts';
import { whileWatched } from '../session/liveness.ts';
import { stepSessions } from '../session/open.ts';

interface AnalyzeTask extends Task {
  readonly sql: string;
  /** Quoted. */
  readonly table: string;
}

/**
 * Analyzes every table of the migration, several in parallel, including extended statistics. Idempotent: skips tables that
 * were analyzed after the last index was built.
 * @throws MigrationError `SchemaFailed`; `signal.reason` when aborted.
 */
export async function analyzeTables(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<AnalyzeReport> {
  await using sessions = stepSessions({ side: 'target', migration, purpose: 'index' }, work.signal);
  try {
    const first = await sessions.open(prepareSession);
    const defaults = await Defaults.read(migration.target, 'index', first);
    const tasks = await analyzeTasks(first, migration);
    while (sessions.all.length < Math.min(input.copy.parallelism, tasks.length)) {
      await sessions.open(prepareSession);
    }
    const progress = { now: '', done: 0, total: tasks.length };
    await whileWatched(
      sessions.all,
      work,
      () => ({ step: 'analyzing tables', ...progress }),
      async () => {
        await runTasks(
          tasks,
          sessions.all,
          (session, { sql, table }) =>
            session.run(async (client) => {
              // Session settings without a transaction: in one, the locks of all partitions would add up.
              await setFor('session', client, await defaults.forTable(client, table));
              await client.query(sql);
            }),
          (running, done) => Object.assign(progress, { now: running.slice(0, 3).join(', '), done }),
        );
      },
    );
    return { tables: tasks.length };
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, { what: 'tables could not be analyzed', code: 'SchemaFailed' });
  }
}

/** One task per table that is due; a partitioned table's task includes its partitions. */
async function analyzeTasks(target: pg.ClientBase, migration: Migration): Promise<AnalyzeTask[]> {
  const due = await readDueForAnalyze(target, migration);
  return due.map((row) => ({
    id: Number(row.oid),
    depends: [],
    tables: [row.label],
    exclusive: true,
    weight: row.pages,
    label: `statistics of ${row.label}`,
    sql: `analyze ${row.table}`,
    table: row.table,
  }));
}
