/** Abilities of the source's wal2json: SQL does not show its version, so options are tried. */
import type pg from 'pg';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { probeNumericAsText } from '../wal2json/probe.ts';
import { creationFailure } from './creation-failure.ts';

export interface PluginAbilities {
  /** `numeric-data-types-as-string` (from 2.6 on): without it, non-finite numbers arrive as null. */
  readonly numericAsText: boolean;
}

/**
 * Tries options on an existing slot that is not in use. Consumes nothing and decodes almost nothing: the plugin reads its options
 * before the first record, and reading ends right after it.
 * @throws MigrationError `SlotBusy` while the slot is in use, `PluginRefused`, `Denied`, `SlotMissing`.
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
