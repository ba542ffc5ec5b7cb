/**
 * Which options the source's wal2json takes. Its version is nowhere in SQL, so the option is tried: the plugin refuses an
 * unknown one before it decodes anything.
 */
import type pg from 'pg';
import { sqlstate, SQLSTATE } from '../connection/failure.ts';

/**
 * Whether the plugin knows `numeric-data-types-as-string` (from 2.6 on): then NaN and infinities arrive as text, else as
 * null. Peeks one WAL record of the slot and consumes nothing; the slot must be free (55006 otherwise).
 */
export async function probeNumericAsText(source: pg.ClientBase, slot: string): Promise<boolean> {
  try {
    await source.query(
      // The first record read lies behind this limit already: nothing is decoded.
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
