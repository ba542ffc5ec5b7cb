/** Comments and grants on objects that walferry does not create (archive/existing-object.ts). */
import type pg from 'pg';
import { carryOver, isEmptyComment, nameOther } from '../archive/existing-object.ts';
import { noteLeftOut } from '../store/left-behind.ts';
import type { StoredEntry } from '../store/schema-entry.ts';

/** Runs one entry; what our role may not do is recorded for the final summary. */
export async function runOther(
  client: pg.ClientBase,
  migration: string,
  entry: Pick<StoredEntry, 'kind' | 'schema' | 'name' | 'sql'>,
): Promise<void> {
  if ((await carryOver(client, entry.sql)) || isEmptyComment(entry)) return;
  await noteLeftOut(client, migration, nameOther(entry));
}
