/** What the source's wal2json can do: it tells its version nowhere in SQL, so options are tried. */
import type pg from 'pg';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { probeNumericAsText } from '../wal2json/probe.ts';
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
  try {
    return { numericAsText: await probeNumericAsText(client, slot) };
  } catch (error) {
    const state = sqlstate(error);
    if (state === SQLSTATE.insufficientPrivilege) throw await creationFailure(error, slot, client);
    const gone = state === SQLSTATE.undefinedObject || state === SQLSTATE.notInPrerequisiteState;
    throw classify(
      error,
      { step: `reading slot "${slot}"`, side: 'source' },
      gone ? 'SlotMissing' : 'Internal',
    );
  }
}
