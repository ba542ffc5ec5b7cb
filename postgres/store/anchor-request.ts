/**
 * The request for an anchor, one row for each migration, with which its owner (verification/anchor.ts) and the stream's lease
 * (stream/standing.ts) talk to each other. States: `wanted` (by the owner), `standing` (the lease, at its confirmed LSN), `taken`
 * (the owner has the source's snapshot), `reached` (the target has what it shows; written with the barrier), `held` (the owner
 * has the target's snapshot, too). The lease may give it up until it is reached. Each side makes only its own moves, each from
 * one state, so neither needs a lock.
 */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';

type State = 'wanted' | 'standing' | 'taken' | 'reached' | 'held' | 'given up';

/** Whether the session of the row's owner still exists on the target. Not equality: a role may be shown no start at all. */
const OWNER_LIVES = /* sql */ `
  exists (select from pg_catalog.pg_stat_activity s
           where s.pid = a.owner_pid and s.backend_start is not distinct from a.owner_started)`;

/** The channel on which the target tells the lease of a request: a stream without one queries nothing. */
export const anchorChannel = ({ id }: Migration): string => `walferry_anchor_${id}`;

/** Asks for an anchor in the name of this session. Replaces the request of a predecessor, whose sessions the caller has ended. */
export async function askForAnchor(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
): Promise<void> {
  await target.query(
    /* sql */ `
    with asked as (
      insert into walferry.anchor as a (migration, id, state, owner_pid, owner_started)
      select $1, $2, 'wanted', pid, backend_start
        from pg_catalog.pg_stat_activity where pid = pg_catalog.pg_backend_pid()
      on conflict (migration) do update
         set id = excluded.id, state = 'wanted', reason = null, owner_pid = excluded.owner_pid,
             owner_started = excluded.owner_started, epoch = null, visible = null, lsn = null,
             source_snapshot = null, target_snapshot = null, taken_at = null
      returning 1)
    select pg_catalog.pg_notify($3, '') from asked`,
    [migration.id, id, anchorChannel(migration)],
  );
}

/** What the lease sees of the request. */
export interface Asked {
  readonly id: string;
  readonly state: State;
  readonly visible: string | null;
  readonly lsn: string | null;
  /** Whether its owner still lives. */
  readonly alive: boolean;
}

/** The current request; null without one. */
export async function readAsked(target: pg.ClientBase, { id }: Migration): Promise<Asked | null> {
  const { rows } = await target.query<Asked>(
    /* sql */ `
    select a.id, a.state, a.visible, a.lsn::text, ${OWNER_LIVES} as alive
      from walferry.anchor a where a.migration = $1`,
    [id],
  );
  return rows[0] ?? null;
}

/** The lease with this epoch stands at its confirmed LSN. @returns false if the request or the epoch is over. */
export async function standAt(
  target: pg.ClientBase,
  migration: Migration,
  { id, epoch, at }: { readonly id: string; readonly epoch: bigint; readonly at: Lsn },
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.anchor set state = 'standing', epoch = $3
     where migration = $1 and id = $2 and state = 'wanted'
       and exists (select from walferry.migration m where m.id = $1 and m.epoch = $3 and m.confirmed_lsn = $4)`,
    [migration.id, id, epoch.toString(), at],
  );
  return rowCount === 1;
}

/**
 * The stream does not stand, or no longer.
 * @param from the states in which it may be given up. @returns false if it has moved on since then.
 */
export async function giveUp(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
  from: readonly ('wanted' | 'standing' | 'taken')[],
  reason: string,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.anchor set state = 'given up', reason = $4
     where migration = $1 and id = $2 and state = any($3)`,
    [migration.id, id, [...from], reason],
  );
  return rowCount === 1;
}

/** What the owner sees of its request. */
export interface Answer {
  readonly state: State;
  readonly reason: string | null;
  /** Whether an attempt has a session to apply with. */
  readonly streaming: boolean;
  /** Whether the attempt that stands is still the newest, with that session. */
  readonly stands: boolean;
}

/** The owner's own request; null when another owner has replaced it. */
export async function readAnswer(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
): Promise<Answer | null> {
  const { rows } = await target.query<Answer>(
    /* sql */ `
    select a.state, a.reason, s.pid is not null as streaming,
           s.pid is not null and coalesce(a.epoch = m.epoch, false) as stands
      from walferry.anchor a
      join walferry.migration m on m.id = a.migration
      left join pg_catalog.pg_stat_activity s on s.pid = m.attempt_pid
           and s.backend_start is not distinct from m.attempt_started
     where a.migration = $1 and a.id = $2`,
    [migration.id, id],
  );
  return rows[0] ?? null;
}

/** The source's snapshot. */
export interface Taken {
  /** Name from `pg_export_snapshot()`. */
  readonly name: string;
  /** `pg_current_snapshot()` as text. */
  readonly visible: string;
  /** No commit record at or after it is visible. */
  readonly lsn: Lsn;
}

/** @returns false if the stream no longer stands: the snapshot may then miss what has been applied. */
export async function recordTaken(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
  { name, visible, lsn }: Taken,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.anchor
       set state = 'taken', source_snapshot = $3, visible = $4, lsn = $5, taken_at = clock_timestamp()
     where migration = $1 and id = $2 and state = 'standing'`,
    [migration.id, id, name, visible, lsn],
  );
  return rowCount === 1;
}

/** What a snapshot of the target says about itself. */
export interface Found {
  /** Its name. */
  readonly name: string;
  /** Whether it shows exactly what the anchor's snapshot of the source shows. */
  readonly exact: boolean;
  /** Whether every table was caught up. */
  readonly consistent: boolean;
}

/**
 * Exports the target's snapshot and asks it where it stands: the first query of a repeatable read transaction. The confirmed LSN
 * must be the barrier's: with the next one more than the anchor is applied, while the barrier is still there.
 */
export async function exportTarget(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
): Promise<Found | null> {
  const { rows } = await target.query<Found>(
    /* sql */ `
    select pg_catalog.pg_export_snapshot() as name,
           coalesce(b.anchor = a.id and m.confirmed_lsn = b.confirmed, false) as exact,
           m.consistent and not exists (
             select from walferry.relation r
              where r.migration = m.id and r.state in ('pending', 'copying', 'catching-up', 'resync')) as consistent
      from walferry.anchor a
      join walferry.migration m on m.id = a.migration
      left join walferry.barrier b on b.migration = a.migration
     where a.migration = $1 and a.id = $2`,
    [migration.id, id],
  );
  return rows[0] ?? null;
}

/**
 * Locks the migration's control row until the end of the transaction: the stream cannot commit meanwhile.
 * @returns whether the target then has exactly what the anchor shows, and keeps it until the transaction ends.
 */
export async function lockAtBarrier(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
): Promise<boolean> {
  await target.query(/* sql */ `select from walferry.migration where id = $1 for update`, [
    migration.id,
  ]);
  // In a statement of its own, whose snapshot is younger than the lock.
  const { rows } = await target.query<{ exact: boolean }>(
    /* sql */ `
    select b.anchor = $2 and m.confirmed_lsn = b.confirmed as exact
      from walferry.migration m join walferry.barrier b on b.migration = m.id where m.id = $1`,
    [migration.id, id],
  );
  return rows[0]?.exact === true;
}

/** Whether every table has caught up with the stream; null without a record of the migration. */
export async function readSettled(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<boolean | null> {
  const { rows } = await target.query<{ settled: boolean }>(
    /* sql */ `
    select m.consistent and not exists (
             select from walferry.relation r
              where r.migration = m.id and r.state in ('pending', 'copying', 'catching-up', 'resync')) as settled
      from walferry.migration m where m.id = $1`,
    [id],
  );
  return rows[0]?.settled ?? null;
}

/** @param name of the target's snapshot. @returns false if another owner has replaced the request. */
export async function recordHeld(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
  name: string,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.anchor set state = 'held', target_snapshot = $3
     where migration = $1 and id = $2 and state = 'reached'`,
    [migration.id, id, name],
  );
  return rowCount === 1;
}

/** The owner lets go, in any state. A barrier that was written stays until the stream has passed it. */
export async function forgetAnchor(
  target: pg.ClientBase,
  migration: Migration,
  id: string,
): Promise<void> {
  await target.query(/* sql */ `delete from walferry.anchor where migration = $1 and id = $2`, [
    migration.id,
    id,
  ]);
}

/** An anchor whose two snapshots can be imported. */
export interface HeldAnchor {
  readonly id: string;
  readonly sourceSnapshot: string;
  readonly targetSnapshot: string;
  readonly visible: string;
  readonly lsn: Lsn;
  /** ISO 8601, the target's clock. */
  readonly takenAt: string;
}

/** The anchor that is held now; null without one, also when its owner's session on the target is gone. */
export async function readHeld(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<HeldAnchor | null> {
  const { rows } = await target.query<Omit<HeldAnchor, 'lsn'> & { readonly lsn: string }>(
    /* sql */ `
    select a.id, a.source_snapshot as "sourceSnapshot", a.target_snapshot as "targetSnapshot", a.visible,
           a.lsn::text,
           pg_catalog.to_char(a.taken_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "takenAt"
      from walferry.anchor a where a.migration = $1 and a.state = 'held' and ${OWNER_LIVES}`,
    [id],
  );
  const [row] = rows;
  return row ? { ...row, lsn: parseLsn(row.lsn) } : null;
}
