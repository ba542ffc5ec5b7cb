/**
 * The source after the switch. A failover to an asynchronous standby may have lost the seal, and with it the writes that the old
 * primary refused are taken: so every later look seals again, and says what was written meanwhile.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceLook } from '../../contract/cutover.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { finalCheck } from './later-changes.ts';

/** Between arming and sealing again nothing happens. */
const MOMENT_MS = 60_000;
/** What a transaction that brings a table gets to end, before it is named. */
const ENTERING_MS = 5_000;
const ENTERING_PAUSE_MS = 200;
const MOST_LATE = 50;

/**
 * Looks at the source of a migration that has switched. The seal comes first, and needs nothing but the server's identity: a source
 * that has lost it in a failover has as a rule lost WAL that the target has, too, and every other step refuses such a source.
 * @param since the second mark; null: writes are not looked for.
 * @throws MigrationError as every step on the source, unless it was sealed again; the target is the live database in any case.
 */
export async function lookAtSource(
  migration: Migration,
  input: MigrationInput,
  fence: Fence,
  cutover: string,
  since: Lsn | null,
  work: Work,
): Promise<SourceLook> {
  const { signal, log } = work;
  try {
    await using source = await connectSource(migration, 'cleanup', { signal, aside: true });
    const sealedAgain = await sealAgain(source, migration, fence, cutover);
    // Now, because the control schema that has them goes next.
    await fence.giveBackExtras?.(source, migration);
    const looked = await lateWrites(migration, input, since, work).catch((error: unknown) => {
      signal.throwIfAborted();
      // A later attempt finds it sealed: only this one knows that it was not.
      if (!sealedAgain) throw error;
      const { code, message } = classify(error, { step: LOOKING, side: 'source' }, 'Internal');
      return { late: [], unchecked: { code, message } };
    });
    const found = { sealedAgain, ...looked };
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
    throw classify(error, { step: LOOKING }, 'Internal');
  }
}

const LOOKING = 'looking at the source after the switch';

/** Includes tables that a transaction may still bring: one that began after the proof has met no trigger. */
async function lateWrites(
  migration: Migration,
  input: MigrationInput,
  since: Lsn | null,
  { signal, beat }: Work,
): Promise<{ readonly late: readonly string[] }> {
  if (since === null) return { late: [] };
  const began = performance.now();
  for (;;) {
    const work = { signal, beat, writers: 'fenced' } as const;
    const { tables, entering } = await finalCheck(migration, input, since, work);
    const late = tables.slice(0, MOST_LATE);
    if (!entering || late.length > 0) return { late };
    if (performance.now() - began > ENTERING_MS) return { late: [ENTERING] };
    await sleep(ENTERING_PAUSE_MS, undefined, { signal });
  }
}

const ENTERING = 'a table that an open transaction creates, attaches or renames';

async function sealAgain(
  source: Session,
  migration: Migration,
  fence: Fence,
  cutover: string,
): Promise<boolean> {
  const gate = await fence.gate(source, migration);
  // Of another id: an earlier attempt has sealed it again, and its answer was lost.
  if (gate?.state === 'sealed') return gate.cutover !== cutover;
  // Armed, and not yet over: no other id could arm it.
  if (gate?.cutover === cutover && (await fence.seal(source, migration, cutover))) return true;
  // The id of the cutover is used up; who finds this one in the gate still knows whose it is.
  const again = { cutover: `${cutover}/${randomUUID()}`, milliseconds: MOMENT_MS };
  await fence.arm(source, migration, again);
  return fence.seal(source, migration, again.cutover);
}
