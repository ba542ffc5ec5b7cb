/** Large objects that were made since preflight refused a source with some: no stream has them, and no copy was made. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';

/**
 * @param source also sees those that transactions have not flushed yet.
 * @throws MigrationError `StillWriting` when there are any, unless the input accepts to leave them behind.
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
    `the source has large objects (${count} in pg_largeobject) that were made after preflight: they are in no stream of changes, and columns that name them would point to nothing on the target; move them into bytea columns or drop them (lo_unlink, vacuumlo), then call cutover again`,
  );
}
