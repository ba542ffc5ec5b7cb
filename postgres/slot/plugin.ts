/** What the source's wal2json can do: it tells its version nowhere in SQL, so options are tried. */
import type pg from 'pg';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { creationFailure } from './refusal.ts';

export interface PluginAbilities {
  /** `numeric-data-types-as-string` (from 2.6 on): without it NaN and infinities arrive as null. */
  readonly numericAsText: boolean;
}

/**
 * Tries options on an existing slot that nobody uses. Nothing is consumed and next to nothing decoded: the plugin reads its options
 * before the first record, and reading ends right after that one.
 * @throws MigrationError `SlotBusy` while somebody uses the slot, `PluginRefused`, `Denied`, `SlotMissing`.
 */
export async function probePluginOptions(
  client: pg.ClientBase,
  slot: string,
): Promise<PluginAbilities> {
  return { numericAsText: await accepts(client, slot, 'numeric-data-types-as-string') };
}

async function accepts(client: pg.ClientBase, slot: string, option: string): Promise<boolean> {
  try {
    await client.query(
      /* sql */ `
      select from pg_logical_slot_peek_changes($1, '0/1', 1, 'format-version', '2', $2, 'on')`,
      [slot, option],
    );
    return true;
  } catch (error) {
    const state = sqlstate(error);
    if (state === SQLSTATE.invalidParameterValue) return false;
    if (state === SQLSTATE.insufficientPrivilege) throw await creationFailure(error, slot, client);
    const gone = state === SQLSTATE.undefinedObject || state === SQLSTATE.notInPrerequisiteState;
    throw classify(
      error,
      { step: `reading slot "${slot}"`, side: 'source' },
      gone ? 'SlotMissing' : 'Internal',
    );
  }
}
