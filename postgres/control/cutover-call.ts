/**
 * Which calls of `cutover` were begun, and by which run of the workflow. After `temporal workflow reset` Temporal gives the new run the
 * updates that the old one accepted: a cutover that was undone days ago would be run while the application writes.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CutoverCall } from '../../contract/work.ts';

/** Without a reference to the migration's row: a frozen attempt may hold that, and only the drain behind the end mark ends it. */
export const CREATE_CUTOVER_CALL = /* sql */ `
create table if not exists walferry.cutover_call (
  migration text not null,
  update_id text not null,
  run text not null,                       -- run id of the workflow that began it
  primary key (migration, update_id)
);`;

/**
 * Notes that the run begins the cutover; again for the same run, because an attempt's answer may be lost.
 * @throws MigrationError `CutoverRepeated` when another run has begun it.
 */
export async function noteCutoverCall(
  target: pg.ClientBase,
  migration: Migration,
  { update, run }: CutoverCall,
): Promise<void> {
  // Kept through a crash of the target: synchronous_commit may be off for the role.
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
    `the cutover with update id ${update} was begun by run ${before ?? 'unknown'} of the workflow already: after a reset Temporal runs accepted updates again, and no one has asked for this one since`,
    { object: 'walferry.cutover_call' },
  );
}
