/**
 * Which options the source's wal2json supports. SQL does not show its version, so the option is tried: the plugin refuses
 * an unknown option before it decodes anything.
 */
import type pg from 'pg';
import { sqlstate, SQLSTATE } from '../connection/failure.ts';

/**
 * Whether the plugin supports `numeric-data-types-as-string` (since 2.6): with it non-finite numbers arrive as text, without it
 * as null. Peeks at one WAL record of the slot and consumes nothing. The slot must be free (55006 otherwise).
 */
export async function probeNumericAsText(source: pg.ClientBase, slot: string): Promise<boolean> {
  try {
    await source.query(
      // The first record is already beyond this limit: nothing is decoded.
      /* sql */ `select pg_logical_slot_peek_changes($1, '0/1', 1,
                    'format-version', '2', 'numeric-data-types-as-string', 'on')`,
      [slot],
    );
    return true;
  } catch (error) {
    if (sqlstate(error) === SQLSTATE.invalidParameterValue) return false;
    throw error;
  }
}
