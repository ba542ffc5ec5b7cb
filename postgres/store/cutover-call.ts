/**
 * Which `cutover` updates were started, and by which run of the workflow. After `temporal workflow reset` Temporal reapplies the
 * accepted updates to the new run: a cutover that was undone days ago would run while the application writes.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CutoverCall } from '../../contract/work.ts';

/**
 * Records that the run starts the cutover. The same run may call it again, because an attempt's answer may be lost.
 * @throws MigrationError `CutoverRepeated` if another run has started it.
 */
export async function noteCutoverCall(
  target: pg.ClientBase,
  migration: Migration,
  { update, run }: CutoverCall,
): Promise<void> {
  // Must survive a crash of the target: synchronous_commit may be off for the role.
  await target.query(/* sql */ `set synchronous_commit = on`);
  await target.query(
    /* sql */ `
    insert into walferry.cutover_call (migration, update_id, run) values ($1, $2, $3) on conflict do nothing`,
    [migration.id, update, run],
  );
  const { rows } = await target.query<{ run: string }>(
    /* sql */ `select run from walferry.cutover_call where migration = $1 and update_id = $2`,
    [migration.id, update],
  );
  const before = rows[0]?.run;
  if (before === run) return;
  throw new MigrationError(
    'CutoverRepeated',
    `run ${before ?? 'unknown'} of the workflow already started the cutover with update id ${update}: after a reset Temporal runs accepted updates again, and this one has not been requested since`,
    { object: 'walferry.cutover_call' },
  );
}
