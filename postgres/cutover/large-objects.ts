/** Large objects that were created after preflight, which refuses a source that has any: they are neither copied nor streamed. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';

/**
 * @param source the session also sees commits that are not flushed yet.
 * @throws MigrationError `StillWriting` if there are any, unless the input ignores them.
 */
export async function refuseLargeObjects(
  source: pg.ClientBase,
  { ignore }: Pick<MigrationInput, 'ignore'>,
): Promise<void> {
  if (ignore.largeObjects) return;
  const { rows } = await source.query<{ count: string }>(
    /* sql */ `select count(*)::text as count from pg_catalog.pg_largeobject_metadata`,
  );
  const count = rows[0]?.count ?? '0';
  if (count === '0') return;
  throw new MigrationError(
    'StillWriting',
    `${count} large objects (pg_largeobject) were created on the source after preflight: changes to them are not replicated, and columns that reference them would be invalid on the target. Move them into bytea columns or drop them (lo_unlink, vacuumlo), then call cutover again`,
  );
}
