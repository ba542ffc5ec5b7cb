/**
 * Checks that the target still has the results of the cutover's steps. A failover to an asynchronous standby during the cutover
 * loses the newest work together with its records, and the workflow, which has seen these steps succeed, does not repeat them.
 */
import { listed } from '../../contract/listed.ts';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { readAsleep } from '../schema/disable-trigger.ts';
import { readUnsecured } from '../schema/restored-row-security.ts';
import { readUnwanted } from '../schema/refresh-later.ts';
import { readUnadded } from '../schema/waiting-check.ts';
import { readUnfilled } from '../store/view-entry.ts';
import { readDrained } from '../store/confirmed-position.ts';
import { readWaiting, nameEntry } from '../store/schema-entry.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';

const SHOWN = 20;

interface Sides {
  readonly source: pg.ClientBase;
  readonly target: Session;
}

/**
 * Call it before the slot is dropped, on the target session that has the turn: a failover ends that session. It queries only the
 * target, and runs before the source is needed: a cutover whose source is gone ends as complete.
 * @param since the end mark up to which the stream was drained.
 * @throws MigrationError `CheckpointMissing` if applied changes are missing, `TargetRewound` naming other missing work.
 */
export async function requireFinished(
  target: Session,
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  { beat }: Pick<Work, 'beat'>,
): Promise<void> {
  await requireDrained(target, migration, since);
  const missing = await whileWatched(
    [target],
    { beat },
    () => ({ step: 'checking that the target has not lost work' }),
    async () => [
      ...(await readUnbuilt(target, migration)).map((name) => `${name} (not built)`),
      ...(await readAsleep(target, migration)).map((name) => `${name} (disabled)`),
      ...(await readUnfilled(target, migration, input.cutover.refresh ? since : null)).map(
        (name) => `${name} (not refreshed)`,
      ),
    ],
  );
  refuse(missing, migration);
}

/** The same for what depends on the source: check constraints, row security, and materialized views filled there since. */
export async function requireSwitched(
  sides: Sides,
  migration: Migration,
  input: MigrationInput,
): Promise<void> {
  const missing = [
    ...(await readUnadded(sides, migration)).map((name) => `${name} (not added)`),
    ...(await readUnsecured(sides, migration)).map((name) => `${name} (disabled)`),
  ];
  refuse(missing, migration);
  const [view, ...others] = input.cutover.refresh ? await readUnwanted(sides, migration) : [];
  if (view === undefined) return;
  throw new MigrationError(
    'TargetRewound',
    `${listed([view], 1, ', ', 1 + others.length)} was filled on the source and is empty on "${migration.target}": it was refreshed on the source just now, or the target lost its newest work. Call cutover again to fill it`,
    { object: view },
  );
}

function refuse(missing: readonly string[], { target }: Migration): void {
  if (missing.length === 0) return;
  throw new MigrationError(
    'TargetRewound',
    `"${target}" lacks work that this cutover had finished: ${listed(missing, SHOWN)}; a lagging standby was promoted, or a backup was restored. Call cutover again to redo it`,
    { object: missing[0] ?? '' },
  );
}

/** The slot no longer has changes that were applied and then lost. */
async function requireDrained(
  target: pg.ClientBase,
  migration: Migration,
  since: Lsn,
): Promise<void> {
  const row = await readDrained(target, migration, since);
  if (row?.drained === true) return;
  const where = row ? `is at ${row.confirmed}` : 'has no record of the migration';
  throw new MigrationError(
    'CheckpointMissing',
    `"${migration.target}" ${where}, but changes up to the end mark ${since} were applied: a lagging standby was promoted, or a backup was restored`,
    { lsn: since },
  );
}

/** Without row security, which is enabled with the triggers and never built for a dropped table. */
async function readUnbuilt(target: pg.ClientBase, migration: Migration): Promise<string[]> {
  const unbuilt = [
    ...(await readWaiting(target, migration.id, 'indexes')),
    ...(await readWaiting(target, migration.id, 'constraints')),
  ];
  return unbuilt.filter(({ kind }) => kind !== 'ROW SECURITY').map(nameEntry);
}
