/**
 * The only way to connect to a database of a migration. Every session verifies the server, and a source session also its
 * position: a changed service file, a cloned disk, a restored backup and a standby promoted too early all accept connections, and
 * nothing else would detect them. An ESLint rule prevents steps from opening sessions in another way.
 */
import type pg from 'pg';
import { MigrationError, sided } from '../../contract/failure.ts';
import { compareLsn, maxLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { classify } from '../connection/failure.ts';
import { connectAs, cut, type Purpose, type SessionOptions } from '../connection/connect.ts';
import { moveTimeline, readKnown, type Known } from '../store/side.ts';
import { requireHistory } from '../identity/history.ts';
import {
  isSame,
  readIdentity,
  wrongServer,
  type Identity,
  type Side,
} from '../identity/identity.ts';
import { upgrade } from '../store/upgrade.ts';
import { Session, StepSessions, type Place } from './session.ts';

export interface SideOptions extends SessionOptions {
  /** An idle session of the target for reading the stored state; otherwise one is opened briefly. */
  readonly target?: pg.ClientBase;
  /** The step may run while the migration is not yet, or no longer, registered on the target. */
  readonly unregistered?: 'yet' | 'any more';
  /** Only checks or terminates other sessions, and must not wait for the other side: only the server's identity is verified. */
  readonly aside?: true;
}

/** Last stored state that was read of each migration. The servers' identity does not change, so `aside` sessions use this. */
const seen = new Map<string, Known>();

/**
 * A verified session on one side of the migration.
 * @throws MigrationError `WrongServer`, `SourceRewound`, `CheckpointMissing` if the target has no record of the migration or is
 *   behind the slot; and as `connect`.
 */
export async function connectSide(
  side: Side,
  migration: Migration,
  purpose: Purpose,
  options: SideOptions = {},
): Promise<Session> {
  const how = {
    signal: options.signal,
    aside: (signal: AbortSignal) =>
      connectSide(side, migration, purpose, { aside: true, unregistered: 'any more', signal }),
  };
  const client = await connectAs(
    (config) => new Session(config, { side, migration, purpose }, how),
    migration[side],
    purpose,
    options,
  ).catch((error: unknown) => {
    throw error instanceof MigrationError ? sided(error, side) : error;
  });
  try {
    const identity = await readIdentity(client, migration[side]);
    if (side === 'target') await checkTarget(client, migration, identity, options);
    else await checkSource(client, migration, identity, options);
    return client;
  } catch (error) {
    cut(client);
    options.signal?.throwIfAborted();
    throw classify(
      error,
      { step: `recognizing the server of service "${migration[side]}"`, side },
      'Internal',
    );
  }
}

export const connectSource = (
  migration: Migration,
  purpose: Purpose,
  options?: SideOptions,
): Promise<Session> => connectSide('source', migration, purpose, options);

export const connectTarget = (
  migration: Migration,
  purpose: Purpose,
  options?: Omit<SideOptions, 'target'>,
): Promise<Session> => connectSide('target', migration, purpose, options);

/** Sessions that one step uses in parallel. */
export function stepSessions(
  { side, migration, purpose }: Place,
  signal: AbortSignal,
): StepSessions {
  return new StepSessions(() => connectSide(side, migration, purpose, { signal }));
}

async function checkTarget(
  target: pg.ClientBase,
  migration: Migration,
  identity: Identity,
  { unregistered, aside }: SideOptions,
): Promise<void> {
  const before = seen.get(migration.id)?.target;
  if (aside && before && isSame(identity, before)) return;
  const known = await readKnown(target, migration);
  if (known?.target) {
    if (!isSame(identity, known.target)) {
      throw wrongServer('target', migration.target, identity, known.target);
    }
  } else if (before && unregistered !== 'yet' && !isSame(identity, before)) {
    // No control schema here, but another server had it before.
    throw wrongServer('target', migration.target, identity, before);
  }
  if (known?.isOutdated) await upgrade(target, migration.target);
  remember(migration, known, unregistered !== undefined || aside === true);
}

async function checkSource(
  source: pg.ClientBase,
  migration: Migration,
  identity: Identity,
  options: SideOptions,
): Promise<void> {
  const before = seen.get(migration.id)?.source;
  if (options.aside && before && isSame(identity, before)) return;
  // Read before the target's row: a running stream stores a position before it confirms it.
  const slot = await slotPosition(source, migration);
  const known = await knownOf(migration, options);
  remember(migration, known, options.unregistered !== undefined || options.aside === true);
  if (!known?.source) return;
  if (!isSame(identity, known.source)) {
    throw wrongServer('source', migration.source, identity, known.source);
  }
  if (options.aside) return;
  if (known.begun && known.confirmedLsn !== null && slot !== null) {
    requireTargetAhead(migration, known.confirmedLsn, slot);
  }
  const needed = latest(known.confirmedLsn, known.copiedLsn);
  const timelines = { known: known.source.timeline, now: identity.timeline };
  if (timelines.known !== timelines.now) {
    await requireHistory(migration.source, timelines, needed, options);
  }
  if (needed !== null) await requireFlushed(source, migration, needed);
  if (timelines.known !== timelines.now) {
    await onTarget(migration, options, (target) =>
      moveTimeline(target, migration, timelines.known, timelines.now),
    );
  }
}

function remember(migration: Migration, known: Known | null, mayBeAbsent: boolean): void {
  if (known) {
    seen.set(migration.id, known);
    return;
  }
  if (mayBeAbsent) return;
  throw new MigrationError(
    'CheckpointMissing',
    `the target "${migration.target}" has no record of this migration: schema walferry was dropped or replaced, or the service points to another server`,
    { object: 'walferry.migration' },
  );
}

/** A step that ends the migration must reach the source even if the target is unavailable; then it uses the cached state. */
async function knownOf(migration: Migration, options: SideOptions): Promise<Known | null> {
  try {
    return await onTarget(migration, options, (target) => readKnown(target, migration));
  } catch (error) {
    if (options.unregistered && options.aside) return seen.get(migration.id) ?? null;
    throw error;
  }
}

async function onTarget<T>(
  migration: Migration,
  { target, signal, unregistered }: SideOptions,
  ask: (target: pg.ClientBase) => Promise<T>,
): Promise<T> {
  if (target) return await ask(target);
  await using own = await connectTarget(migration, 'identity', {
    ...(signal && { signal }),
    ...(unregistered && { unregistered }),
  });
  return await ask(own);
}

/** The slot's confirmed position; null if the slot is missing or not ready, which the steps that need it report. */
export async function slotPosition(
  source: pg.ClientBase,
  { slot }: Migration,
): Promise<Lsn | null> {
  const { rows } = await source.query<{ confirmed: string | null }>(
    /* sql */ `
    select confirmed_flush_lsn::text as confirmed
      from pg_catalog.pg_replication_slots where slot_name = $1`,
    [slot],
  );
  const confirmed = rows[0]?.confirmed ?? null;
  return confirmed === null ? null : parseLsn(confirmed);
}

/**
 * Only stored positions are confirmed, so a target behind the slot was restored or is a copy.
 * @throws MigrationError `CheckpointMissing`.
 */
function requireTargetAhead({ slot, target }: Migration, stored: Lsn, confirmed: Lsn): void {
  if (compareLsn(stored, confirmed) >= 0) return;
  throw new MigrationError(
    'CheckpointMissing',
    `the target "${target}" has applied up to ${stored}, but slot "${slot}" is confirmed up to ${confirmed}: the target was restored or replaced`,
    { slot, lsn: stored },
  );
}

/**
 * Every stored position was in flushed WAL, so a source whose WAL ends before it has lost history.
 * @throws MigrationError `SourceRewound`.
 */
export async function requireFlushed(
  source: pg.ClientBase,
  { source: service }: Migration,
  needed: Lsn,
): Promise<void> {
  const { rows } = await source.query<{ flushed: string }>(
    /* sql */ `select pg_catalog.pg_current_wal_flush_lsn()::text as flushed`,
  );
  const flushed = parseLsn(rows[0]?.flushed ?? '');
  if (compareLsn(flushed, needed) >= 0) return;
  throw new MigrationError(
    'SourceRewound',
    `the WAL of the source "${service}" ends at ${flushed}, but ${needed} was already copied or applied: a backup or disk image was restored, or a lagging standby was promoted`,
    { lsn: needed },
  );
}

function latest(a: Lsn | null, b: Lsn | null): Lsn | null {
  return a === null || b === null ? (a ?? b) : maxLsn(a, b);
}
