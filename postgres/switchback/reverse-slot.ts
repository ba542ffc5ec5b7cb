/**
 * The slot of the way back, on the new database. It is created long before the cutover: creation waits for the writers of every
 * database of that server, and within the fence no one could wait. It is also the rehearsal of rights and plugin.
 *
 * Until the release nothing reads the slot, so it is advanced with every lease of the stream, or it would keep WAL. It must never be
 * advanced past the release: the application's first changes would be lost. So a call advances only to a position that an earlier
 * call has returned. The workflow knows that position before it begins a cutover, so it is before every later release, and a frozen
 * attempt that wakes up later can do no more than this.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { SlotReport, Work } from '../../contract/work.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { readIdentity } from '../identity/identity.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { takeReplicaRole } from '../session/replica-role.ts';
import type { Session } from '../session/session.ts';
import { createSlot, type SlotOptions } from '../slot/create-slot.ts';
import { lookAtSlot } from '../slot/slot-state.ts';
import { createStore } from '../store/upgrade.ts';
import { registerWayBack } from '../store/way-back.ts';
import { onWayBack } from './on-way-back.ts';

/** Only another migration's start can lock what this creates. */
const BEGIN = /* sql */ `begin; set local lock_timeout = 5000`;

/**
 * Creates the row on the old database and the slot on the new one, or finds those of an earlier attempt.
 * @throws MigrationError `Denied` without the right to create schema `walferry` on the old database or to take replica role there;
 *   `SlotBlocked` and the others of `createSlot`.
 */
export async function openWayBack(
  migration: Migration,
  work: Work,
  options: SlotOptions = {},
): Promise<SlotReport> {
  const reverse = reverseOf(migration);
  const open = async (): Promise<SlotReport> => {
    await register(migration, reverse, work.signal);
    return createSlot(reverse, work, options);
  };
  return onWayBack(reverse, 'opening the way back', open, work.signal);
}

/** Both sessions are verified as the migration's own, so the row gets the identities of the right servers. */
async function register(
  migration: Migration,
  reverse: Migration,
  signal: AbortSignal,
): Promise<void> {
  await using fresh = await connectTarget(migration, 'slot', { signal });
  await using old = await connectSource(migration, 'slot', { target: fresh, signal });
  const source = await readIdentity(fresh, migration.target);
  const target = await readIdentity(old, migration.source);
  const { rows } = await fresh.query<{ name: string }>(
    /* sql */ `select pg_catalog.current_database() as name`,
  );
  const write = async (): Promise<void> => {
    await createStore(old, migration.source);
    await registerWayBack(old, { reverse, source, sourceDatabase: rows[0]?.name ?? '', target });
  };
  await inTransaction(old, write, BEGIN);
  await requireReplicaRole(old, migration);
}

/**
 * Without it, the foreign keys and triggers of the old database would act on what has acted already; to disable them there is no way
 * for a database that readers still use.
 * @throws MigrationError `Denied`.
 */
export async function requireReplicaRole(
  old: Session,
  { source }: Pick<Migration, 'source'>,
): Promise<void> {
  if (await takeReplicaRole(old)) return;
  throw new MigrationError(
    'Denied',
    `the role of service "${source}" may not set session_replication_role, which the way back needs there: grant set on parameter session_replication_role to it (from 15 on), or use a superuser`,
    { object: 'session_replication_role' },
  );
}

/**
 * Advances the slot to a position that an earlier call has returned.
 * @param to null at the first call: nothing is advanced.
 * @returns end of the new database's flushed WAL, for the next call. To be used only until the next cutover begins.
 * @throws MigrationError `SlotMissing` if the slot is gone or lost: `openWayBack` creates it again.
 */
export async function advanceReverseSlot(
  migration: Migration,
  to: Lsn | null,
  work: Work,
): Promise<Lsn> {
  const reverse = reverseOf(migration);
  const advance = async (): Promise<Lsn> => {
    await using fresh = await connectSource(reverse, 'slot', { signal: work.signal });
    await requireSlot(fresh, reverse);
    const { rows } = await fresh.query<{ flushed: string }>(
      /* sql */ `select pg_catalog.pg_current_wal_flush_lsn()::text as flushed`,
    );
    if (to !== null) await advanceTo(fresh, reverse, to, work);
    return parseLsn(rows[0]?.flushed ?? '');
  };
  return onWayBack(reverse, 'advancing the slot', advance, work.signal);
}

/**
 * Moves the slot to the position, unless it is there or past it. The server reads the WAL up to there, without decoding rows.
 * @param fresh a session on the new database.
 */
export async function advanceTo(
  fresh: Session,
  reverse: Migration,
  to: Lsn,
  work: Pick<Work, 'beat'>,
): Promise<void> {
  const confirmed = await requireSlot(fresh, reverse);
  if (compareLsn(confirmed, to) >= 0) return;
  await whileWatched(
    [fresh],
    work,
    () => ({ step: 'advancing the slot of the way back' }),
    () =>
      fresh.run(() =>
        fresh.query(/* sql */ `select pg_catalog.pg_replication_slot_advance($1, $2::pg_lsn)`, [
          reverse.slot,
          to,
        ]),
      ),
  );
}

async function requireSlot(fresh: Session, { slot }: Migration): Promise<Lsn> {
  const found = await lookAtSlot(fresh, slot);
  if (found !== null && !found.lost && found.confirmedFlushLsn !== null)
    return found.confirmedFlushLsn;
  throw new MigrationError(
    'SlotMissing',
    `slot "${slot}" ${found === null ? 'does not exist' : 'is not usable'} on the new database`,
    { slot },
  );
}
