/**
 * The source after the switch. A failover to an asynchronous standby may have lost the seal, and with it the writes that the old
 * primary refused are taken: so every later look seals again, and says what was written meanwhile.
 */
import { randomUUID } from 'node:crypto';
import type { SourceLook } from '../../contract/cutover.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { laterChanges } from './later-changes.ts';

/** Between arming and sealing again nothing happens. */
const MOMENT_MS = 60_000;

/**
 * Looks at the source of a migration that has switched.
 * @param since the second mark; null: writes are not looked for.
 * @throws MigrationError as every step on the source; the target is the live database in any case.
 */
export async function lookAtSource(
  migration: Migration,
  input: MigrationInput,
  fence: Fence,
  cutover: string,
  since: Lsn | null,
  { signal, beat, log }: Work,
): Promise<SourceLook> {
  try {
    await using source = await connectSource(migration, 'cleanup', { signal });
    const sealedAgain = await sealAgain(source, migration, fence, cutover);
    // Now, because the control schema that has them goes next.
    await fence.giveBackExtras?.(source, migration);
    const late =
      since === null ? [] : await laterChanges(migration, input, since, signal, beat, 'fenced');
    const found = { sealedAgain, late: late.slice(0, MOST_LATE) };
    try {
      return { ...found, changes: (await fence.stays?.(source, migration)) ?? [] };
    } catch (error) {
      signal.throwIfAborted();
      // Rows that came late keep the slot: a list of settings must not lose them.
      log.warn('what the fence leaves changed was not read', { sqlstate: sqlstate(error) });
      return found;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'looking at the source after the switch' }, 'Internal');
  }
}

const MOST_LATE = 50;

async function sealAgain(
  source: Session,
  migration: Migration,
  fence: Fence,
  cutover: string,
): Promise<boolean> {
  const gate = await fence.gate(source, migration);
  if (gate?.state === 'sealed') return false;
  // The id of the cutover is used up; who finds this one in the gate still knows whose it is.
  const again = { cutover: `${cutover}/${randomUUID()}`, milliseconds: MOMENT_MS };
  await fence.arm(source, migration, again);
  return fence.seal(source, migration, again.cutover);
}
