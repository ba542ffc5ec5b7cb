/**
 * Limits in the control schema: how activities at work see that they were changed. Rows of their own, because the migration's row
 * is locked while a batch is applied. What the workers that copy need of each other stands there, too: each writes every second
 * how many streams it has, and all share the limits by that.
 */
import type pg from 'pg';
import * as v from 'valibot';
import { guardReport, type GuardReport } from '../../contract/guard.ts';
import { limits, UNLIMITED, type Limits } from '../../contract/limits.ts';
import type { Migration } from '../../contract/migration.ts';

export const CREATE_THROTTLE = /* sql */ `
create table if not exists walferry.throttle (
  migration text primary key references walferry.migration on delete cascade,
  version integer not null default 0,      -- of the limits: a write that comes late changes nothing
  limits jsonb,                            -- null: unlimited
  guard jsonb,                             -- what the guard of the source last said ...
  guard_snapshot integer,                -- ... beside the snapshot of this pass ...
  guard_at timestamptz                     -- ... and when: one that is not renewed does not count
);
create table if not exists walferry.copier (
  migration text not null references walferry.throttle on delete cascade,
  worker text not null,                    -- a process that copies
  streams integer not null,                  -- that it has at work or held
  joined timestamptz not null default clock_timestamp(),
  seen timestamptz not null,               -- one that was not heard of for some seconds does not count
  primary key (migration, worker)
);`;

/** Stores the limits, unless newer ones are there. Idempotent. */
export async function storeLimits(
  target: pg.ClientBase,
  migration: Migration,
  { version, limits: values }: { readonly version: number; readonly limits: Limits },
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.throttle as t (migration, version, limits) values ($1, $2, $3)
    on conflict (migration) do update set version = excluded.version, limits = excluded.limits
     where t.version <= excluded.version`,
    [migration.id, version, JSON.stringify(values)],
  );
}

/** The limits that count now. @throws an error of the driver. */
export async function readLimits(target: pg.ClientBase, migration: Migration): Promise<Limits> {
  const { rows } = await target.query<{ limits: unknown }>(
    /* sql */ `select limits from walferry.throttle where migration = $1`,
    [migration.id],
  );
  return limitsOf(rows[0]?.limits);
}

/** A worker of another version may know other limits: those that are known here count. */
function limitsOf(stored: unknown): Limits {
  return v.is(limits, stored) ? stored : UNLIMITED;
}

/** Notes what the guard says, for the streams. @param pass of the snapshot beside which it measures: an earlier one is over. */
export async function storeGuard(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  report: GuardReport | null,
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.throttle as t (migration, guard, guard_snapshot, guard_at)
    values ($1, $2, $3, clock_timestamp())
    on conflict (migration) do update
       set guard = excluded.guard, guard_snapshot = excluded.guard_snapshot, guard_at = clock_timestamp()
     where t.guard_snapshot is null or t.guard_snapshot <= excluded.guard_snapshot`,
    [migration.id, report === null ? null : JSON.stringify(report), pass],
  );
}

/** What the streams of one process have to keep to. */
export interface Share {
  readonly limits: Limits;
  readonly guard: GuardReport | null;
  /** Lanes of processes that joined before this one, and after. */
  readonly before: number;
  readonly after: number;
}

/** A process that was not heard of for so long has no streams any more, and a guard measures nothing. */
export const FORGOTTEN_SECONDS = 10;

/** All times are the server's. One ahead of it was written before its clock was set back, and would count for as long. */
const heardOf = (at: string) =>
  /* sql */ `${at} between clock_timestamp() - make_interval(secs => ${FORGOTTEN_SECONDS}) and clock_timestamp()`;

/** Says how many streams this process has, and reads the limits and who else copies. */
export async function exchangeShare(
  target: pg.ClientBase,
  migration: Migration,
  mine: { readonly worker: string; readonly streams: number; readonly pass: number },
): Promise<Share> {
  const { rows } = await target.query<{
    limits: unknown;
    guard: unknown;
    before: number;
    after: number;
  }>(
    /* sql */ `
    with here as (
      insert into walferry.throttle (migration) values ($1) on conflict do nothing
    ), mine as (
      insert into walferry.copier as c (migration, worker, streams, seen)
      values ($1, $2, $3, clock_timestamp())
      on conflict (migration, worker) do update set streams = excluded.streams, seen = excluded.seen
      returning c.joined, c.worker
    ), others as (
      select c.streams, (c.joined, c.worker) < (m.joined, m.worker) as before
        from walferry.copier c, mine m
       where c.migration = $1 and c.worker <> m.worker
         and ${heardOf('c.seen')}
    )
    select t.limits,
           case when t.guard_snapshot = $4 and ${heardOf('t.guard_at')} then t.guard end as guard,
           (select coalesce(sum(streams) filter (where before), 0)::int from others) as before,
           (select coalesce(sum(streams) filter (where not before), 0)::int from others) as after
      from mine left join walferry.throttle t on t.migration = $1`,
    [migration.id, mine.worker, mine.streams, mine.pass],
  );
  const row = rows[0];
  return {
    limits: limitsOf(row?.limits),
    guard: v.is(guardReport, row?.guard) ? row.guard : null,
    before: row?.before ?? 0,
    after: row?.after ?? 0,
  };
}
