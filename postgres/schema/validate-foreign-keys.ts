/** Validates the foreign keys that were added without a check of the rows. */
import type { MigrationError } from '../../contract/failure.ts';
import { isConstraintFailure } from './violating-rows.ts';
import { nameEntry, readEntries, type StoredEntry } from '../store/schema-entry.ts';
import { dropForeignKey, validateForeignKey } from './foreign-key.ts';
import type { Session } from '../session/session.ts';
import { retryLock } from '../session/brief-lock.ts';
import { entryToday, recordDropped } from './source-today.ts';
import { runTasks, type Task } from './run-tasks.ts';
import { type Step, buildFailure } from './build-failure.ts';

/** Validates the foreign keys that were added: several in parallel, one at a time per table. */
export async function validateAll(
  sessions: readonly Session[],
  step: Step,
  report: (now: string) => void,
): Promise<MigrationError[]> {
  const [first] = sessions;
  if (first === undefined) return [];
  const entries = await readEntries(first, step.migration.id, ['constraints']);
  const tasks = entries
    .filter(({ kind, added, done }) => kind === 'FK CONSTRAINT' && added !== null && !done)
    .map((entry): Task & { entry: StoredEntry } => ({
      id: entry.id,
      depends: [],
      tables: entry.tables.slice(0, 1),
      exclusive: true,
      weight: 0,
      label: nameEntry(entry),
      entry,
    }));
  const broken = await runTasks(
    tasks,
    sessions,
    async (session, { entry }) => {
      await retryLock(step.work, () =>
        session.transaction((client) => validateForeignKey(client, step.migration, entry)),
      ).catch(async (error: unknown) => {
        const place = { migration: step.migration, entry, session };
        if ((await entryToday(error, place, step.work)) !== 'gone') {
          throw await buildFailure(error, entry, step, session);
        }
        await retryLock(step.work, () =>
          session.transaction((client) => dropForeignKey(client, entry)),
        );
        await recordDropped(place, step.work);
      });
    },
    (running) => report(running.slice(0, 3).join(', ')),
    isConstraintFailure,
  );
  return broken.filter(isConstraintFailure);
}
