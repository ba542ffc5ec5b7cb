/** Verifications of a migration, and the anchors at which they compare, in the control schema. */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { VerificationReport } from '../../contract/verification.ts';

/** A verification of a migration. */
export interface Verified {
  readonly migration: Migration;
  readonly verification: string;
}

/** One state of both sides, held by exported snapshots. */
export interface RecordedAnchor {
  readonly id: string;
  readonly lsn: Lsn;
  readonly snapshots: Readonly<Record<'source' | 'target', { name: string; visible: string }>>;
}

/** Records that the verification has begun, unless it has. */
export async function beginVerification(
  target: pg.ClientBase,
  { migration, verification }: Verified,
): Promise<void> {
  await target.query(
    /* sql */ `insert into walferry.verification (migration, id) values ($1, $2) on conflict do nothing`,
    [migration.id, verification],
  );
}

/** Locks the verification until the end of the transaction: one plan or conclusion at a time. */
export async function lockVerification(
  target: pg.ClientBase,
  { migration, verification }: Verified,
): Promise<void> {
  await target.query(
    /* sql */ `select from walferry.verification where migration = $1 and id = $2 for update`,
    [migration.id, verification],
  );
}

/** Records an anchor before anything is compared at it. */
export async function recordAnchor(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  { id, lsn, snapshots }: RecordedAnchor,
): Promise<void> {
  const { source, target: there } = snapshots;
  await target.query(
    /* sql */ `
    insert into walferry.verification_anchor
      (migration, verification, anchor, lsn, source_snapshot, target_snapshot, source_visible, target_visible)
    values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`,
    [
      ...[migration.id, verification, id, lsn],
      ...[source.name, there.name, source.visible, there.visible],
    ],
  );
}

/** An anchor of the verification, with its age by the target's clock; null if it is not recorded. */
export async function readAnchor(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  id: string,
): Promise<(RecordedAnchor & { readonly ageMs: number }) | null> {
  const { rows } = await target.query<{
    lsn: string;
    source: string;
    target: string;
    source_visible: string;
    target_visible: string;
    age: number;
  }>(
    /* sql */ `
    select (extract(epoch from pg_catalog.clock_timestamp() - taken_at) * 1000)::float8 as age, lsn::text, source_snapshot as source, target_snapshot as target, source_visible, target_visible
      from walferry.verification_anchor where migration = $1 and verification = $2 and anchor = $3`,
    [migration.id, verification, id],
  );
  const [row] = rows;
  if (!row) return null;
  return {
    id,
    lsn: parseLsn(row.lsn),
    ageMs: row.age,
    snapshots: {
      source: { name: row.source, visible: row.source_visible },
      target: { name: row.target, visible: row.target_visible },
    },
  };
}

/** When the verification began, how many anchors it has used, and the position of the newest; null if it has not begun. */
export async function readVerification(
  target: pg.ClientBase,
  { migration, verification }: Verified,
): Promise<{ begunAt: Date; now: Date; anchors: number; lsn: Lsn | null } | null> {
  const { rows } = await target.query<{
    begun: Date;
    now: Date;
    anchors: number;
    lsn: string | null;
  }>(
    /* sql */ `
    select f.begun_at as begun, clock_timestamp() as now, count(a.anchor)::integer as anchors, max(a.lsn)::text as lsn
      from walferry.verification f
      left join walferry.verification_anchor a on a.migration = f.migration and a.verification = f.id
     where f.migration = $1 and f.id = $2 group by f.migration, f.id`,
    [migration.id, verification],
  );
  const [row] = rows;
  if (!row) return null;
  const { begun, now, anchors, lsn } = row;
  return { begunAt: begun, now, anchors, lsn: lsn === null ? null : parseLsn(lsn) };
}

/** Stores the result. Concluding again replaces it. */
export async function endVerification(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  report: VerificationReport,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.verification set ended_at = clock_timestamp(), report = $3
     where migration = $1 and id = $2`,
    [migration.id, verification, JSON.stringify(report)],
  );
}
