/**
 * Whether the target still has what the cutover's steps have finished. A failover to an asynchronous standby during the cutover takes
 * the newest work back together with its marks, and the workflow, which has seen these steps succeed, does not run them again.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { addMissingColumns } from '../control/columns.ts';
import { hasSchemaControl, nameEntry, readWaiting } from '../schema/control.ts';
import { readAsleep } from '../schema/disable-trigger.ts';
import { readUnsecured } from '../schema/row-security.ts';
import { readUnfilled } from '../schema/refresh.ts';
import { readUnwanted } from '../schema/refresh-later.ts';
import { readUnadded } from '../schema/waiting-check.ts';
import { whileAllWatched } from '../schema/watch.ts';

const SHOWN = 20;

interface Sides {
  readonly source: pg.ClientBase;
  readonly target: pg.Client;
}

/**
 * To be called before the slot is dropped, on the session of the target that holds the turn then: a failover ends that session. Asks
 * the target only, and so before the source: a cutover whose source is gone ends as complete.
 * @param since the end mark, up to which the stream was drained.
 * @throws MigrationError `CheckpointMissing` where applied changes are missing, `TargetRewound` naming what else is.
 */
export async function requireFinished(
  target: pg.Client,
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  { beat }: Pick<Work, 'beat'>,
): Promise<void> {
  await addMissingColumns(target);
  await requireDrained(target, migration, since);
  if (!(await hasSchemaControl(target))) return;
  const missing = await whileAllWatched(
    [{ side: 'target', migration, purpose: 'cleanup', client: target }],
    { beat },
    () => ({ step: 'looking for work that the target has lost' }),
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

/** The same for what depends on the source: checks, row security, and materialized views that it has filled since. */
export async function requireSwitched(
  sides: Sides,
  migration: Migration,
  input: MigrationInput,
): Promise<void> {
  if (!(await hasSchemaControl(sides.target))) return;
  const missing = [
    ...(await readUnadded(sides, migration)).map((name) => `${name} (not added)`),
    ...(await readUnsecured(sides, migration)).map((name) => `${name} (disabled)`),
  ];
  refuse(missing, migration);
  const [view, ...others] = input.cutover.refresh ? await readUnwanted(sides, migration) : [];
  if (view === undefined) return;
  const more = others.length > 0 ? ` and ${others.length} more` : '';
  throw new MigrationError(
    'TargetRewound',
    `${view}${more} was filled on the source and is empty on "${migration.target}": it was refreshed there just now, or the target lost its newest work. Call cutover again, which fills it`,
    { object: view },
  );
}

function refuse(missing: readonly string[], { target }: Migration): void {
  if (missing.length === 0) return;
  const more = missing.length > SHOWN ? ` and ${missing.length - SHOWN} more` : '';
  throw new MigrationError(
    'TargetRewound',
    `"${target}" lacks work that this cutover had finished: ${missing.slice(0, SHOWN).join(', ')}${more}; a lagging standby was promoted, or a backup was restored. What is missing is made again: call cutover again`,
    { object: missing[0] ?? '' },
  );
}

/** Rows that were applied and lost are not in the slot any more. */
async function requireDrained(
  target: pg.ClientBase,
  migration: Migration,
  since: Lsn,
): Promise<void> {
  const { rows } = await target.query<{ confirmed: string | null; drained: boolean | null }>(
    /* sql */ `
    select confirmed_lsn::text as confirmed, confirmed_lsn >= $2::pg_lsn as drained
      from walferry.migration where id = $1`,
    [migration.id, since],
  );
  const [row] = rows;
  if (row?.drained === true) return;
  const where = row ? `stands at ${row.confirmed}` : 'has no control row of the migration';
  throw new MigrationError(
    'CheckpointMissing',
    `"${migration.target}" ${where}, but changes up to the end mark ${since} were applied: a lagging standby was promoted, or a backup was restored`,
    { lsn: since },
  );
}

/** Row security is switched on with the triggers; of a table that is gone it is never built. */
async function readUnbuilt(target: pg.ClientBase, migration: Migration): Promise<string[]> {
  const unbuilt = [
    ...(await readWaiting(target, migration.id, 'indexes')),
    ...(await readWaiting(target, migration.id, 'constraints')),
  ];
  return unbuilt.filter(({ kind }) => kind !== 'ROW SECURITY').map(nameEntry);
}
