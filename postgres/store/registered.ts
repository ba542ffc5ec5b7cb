/** The migrations that a target knows, for whoever has no migration of their own: preflight, cleanup, the demo. */
import type pg from 'pg';
import { OF_WAY_BACK } from './migration.ts';
import { hasStore } from './upgrade.ts';

export interface RegisteredMigration {
  /** Id of the migration. */
  readonly id: string;
  readonly workflowId: string;
  readonly slot: string;
  readonly sourceSystem: string;
  readonly sourceDatabase: string;
  readonly createdAt: string;
  readonly confirmedLsn: string | null;
}

/** Oldest first; without ways back, which belong to migrations to other databases. */
export async function readRegistered(target: pg.ClientBase): Promise<RegisteredMigration[]> {
  const { rows } = await target.query<RegisteredMigration>(/* sql */ `
    select id, workflow_id as "workflowId", slot, source_system as "sourceSystem",
           source_database as "sourceDatabase", to_char(created_at, 'YYYY-MM-DD HH24:MI TZ') as "createdAt",
           confirmed_lsn::text as "confirmedLsn"
      from walferry.migration where not ${OF_WAY_BACK} order by created_at`);
  return rows;
}

/** The ways back whose state is on this database, the old one of their migrations. */
export async function readWaysBack(
  old: pg.ClientBase,
): Promise<Pick<RegisteredMigration, 'id' | 'workflowId' | 'slot'>[]> {
  if (!(await hasStore(old))) return [];
  const { rows } = await old.query<Pick<RegisteredMigration, 'id' | 'workflowId' | 'slot'>>(
    /* sql */ `select id, workflow_id as "workflowId", slot from walferry.migration where ${OF_WAY_BACK} order by created_at`,
  );
  return rows;
}

export interface StreamMark {
  readonly epoch: string;
  readonly confirmedLsn: string | null;
  readonly transactions: number;
}

/** Where the stream of the target's only migration is; undefined without a control schema. */
export async function readStreamMark(target: pg.ClientBase): Promise<StreamMark | undefined> {
  if (!(await hasStore(target))) return undefined;
  const { rows } = await target.query<{ epoch: string; lsn: string | null; n: string }>(
    /* sql */ `select epoch::text, confirmed_lsn::text as lsn, transactions::text as n from walferry.migration where not ${OF_WAY_BACK}`,
  );
  const [row] = rows;
  return row && { epoch: row.epoch, confirmedLsn: row.lsn, transactions: Number(row.n) };
}
