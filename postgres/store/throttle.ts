/**
 * Limits in the control schema, where running activities see changes of them. They have separate rows because the migration's row
 * is locked while a batch is applied. Workers that copy coordinate here, too: each writes every second how many copy streams it
 * has, and all share the limits accordingly.
 */
import type pg from 'pg';
import * as v from 'valibot';
import { guardReport, type GuardReport } from '../../contract/guard.ts';
import { limits, UNLIMITED, type Limits } from '../../contract/limits.ts';
import type { Migration } from '../../contract/migration.ts';

/** Stores the limits, unless newer ones are stored. Idempotent. */
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

/** The current limits. @throws an error of the driver. */
export async function readLimits(target: pg.ClientBase, migration: Migration): Promise<Limits> {
  const { rows } = await target.query<{ limits: unknown }>(
    /* sql */ `select limits from walferry.throttle where migration = $1`,
    [migration.id],
  );
  return limitsOf(rows[0]?.limits);
}

/** A worker of another version may store limits that this version does not know; those are ignored. */
function limitsOf(stored: unknown): Limits {
  return v.is(limits, stored) ? stored : UNLIMITED;
}

/** Stores the guard's report for the copy streams. @param pass of the snapshot owner that runs it: an earlier one is over. */
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

/** What the copy streams of one process must comply with. */
export interface Share {
  readonly limits: Limits;
  readonly guard: GuardReport | null;
  /** Copy streams of processes that joined before this one, and after. */
  readonly before: number;
  readonly after: number;
}

/** After this much silence a process counts as gone, and a guard's report is ignored. */
export const FORGOTTEN_SECONDS = 10;

/** Times are the server's. One in the future was written before its clock was set back; it would stay valid for that long. */
const heardOf = (at: string) =>
  /* sql */ `${at} between clock_timestamp() - make_interval(secs => ${FORGOTTEN_SECONDS}) and clock_timestamp()`;

/** Stores the number of this process's copy streams and reads the limits and the other processes' streams. */
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
