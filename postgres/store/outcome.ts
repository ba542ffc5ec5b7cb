/**
 * The outcome of a cutover: one row on the target, written once. Whoever inserts it first has decided, and everybody else, a
 * driver that was frozen, a second attempt, a workflow that was reset, reads the row and follows it. Nothing else decides.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { isLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';

/** How a cutover ended. */
export type Decided = 'switched' | 'undone';

/** What the release records with its decision. */
export interface Release {
  /** End of the release's logical message in the target's WAL. Everything that the application writes there comes after it. */
  readonly lsn: Lsn;
  /** From arming to the end of the release, milliseconds on the source's clock. */
  readonly downtimeMs: number;
}

export interface Outcome {
  readonly cutover: string;
  readonly what: Decided;
  /** Null for a cutover that was undone. */
  readonly release: Release | null;
}

interface Row {
  readonly cutover: string;
  readonly what: Decided;
  readonly lsn: string | null;
  readonly downtime: string | null;
}

const READ = /* sql */ `
select cutover, what, release_lsn::text as lsn, downtime_ms::text as downtime from walferry.outcome`;

/**
 * Decides the cutover unless it is decided already; in the caller's transaction or as one of its own. Waits for another
 * transaction that has inserted the row and not ended. Call it with `synchronous_commit = on`.
 *
 * Nothing is inserted for a migration that the target does not know (any more): a driver that wakes up after the end must not
 * decide anything.
 * @returns whether this call decided it.
 */
export async function decide(
  target: pg.ClientBase,
  { id }: Migration,
  cutover: string,
  what: Decided,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    insert into walferry.outcome (cutover, migration, what)
    select $1, m.id, $3 from walferry.migration m where m.id = $2
        on conflict do nothing`,
    [cutover, id, what],
  );
  return rowCount === 1;
}

/** Adds to the row of a release what is known at its end, in the same transaction. */
export async function noteRelease(
  target: pg.ClientBase,
  cutover: string,
  { lsn, downtimeMs }: Release,
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.outcome set release_lsn = $2, downtime_ms = $3 where cutover = $1`,
    [cutover, lsn, Math.round(downtimeMs).toString()],
  );
}

/** How the cutover ended; null while it is open. */
export async function readOutcome(target: pg.ClientBase, cutover: string): Promise<Outcome | null> {
  const { rows } = await target.query<Row>(/* sql */ `${READ} where cutover = $1`, [cutover]);
  return outcomeOf(rows[0]);
}

/** The cutover that switched the migration; null when none has. */
export async function readSwitched(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<Outcome | null> {
  const { rows } = await target.query<Row>(
    /* sql */ `${READ} where migration = $1 and what = 'switched' order by decided_at desc limit 1`,
    [id],
  );
  return outcomeOf(rows[0]);
}

/**
 * Refuses to apply changes to a target that is the live database: triggers would be disabled under the application.
 * @throws MigrationError `AlreadySwitched`.
 */
export async function refuseSwitched(target: pg.ClientBase, migration: Migration): Promise<void> {
  const switched = await readSwitched(target, migration);
  if (switched === null) return;
  throw new MigrationError(
    'AlreadySwitched',
    `cutover ${switched.cutover} has switched this migration to "${migration.target}": no change of the source is applied any more`,
    { object: 'walferry.outcome' },
  );
}

function outcomeOf(row: Row | undefined): Outcome | null {
  if (!row) return null;
  const { cutover, what, lsn, downtime } = row;
  const release =
    isLsn(lsn) && downtime !== null ? { lsn: parseLsn(lsn), downtimeMs: Number(downtime) } : null;
  return { cutover, what, release };
}
