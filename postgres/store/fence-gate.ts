/**
 * The gate of a fence that has none on the source (`roles`, `command`, `none`): the same states, with the target's clock. It does
 * not refuse anything itself, so nothing gives the writes back when everything of ours is gone; a trigger's gate does.
 */
import type pg from 'pg';
import * as v from 'valibot';
import { MigrationError } from '../../contract/failure.ts';
import type { Gate } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { isoMoment } from '../connection/iso-moment.ts';

interface Patterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

const row = v.object({
  state: v.picklist(['open', 'armed', 'sealed']),
  cutover: v.nullable(v.string()),
  deadline: v.nullable(v.string()),
  expired: v.boolean(),
});

/** Whether the control schema has these tables: one of earlier code has none. */
export async function hasFenceGates(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ there: boolean }>(
    /* sql */ `select pg_catalog.to_regclass('walferry.fence_gate') is not null as there`,
  );
  return rows[0]?.there === true;
}

/** Creates the open gate, or records another selection for the one that is there. */
export async function storeFenceGate(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
  { include, exclude }: Patterns,
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.fence_gate (migration, include, exclude) values ($1, $2, $3)
    on conflict (migration) do update set include = excluded.include, exclude = excluded.exclude`,
    [id, include, exclude],
  );
}

export async function readFenceGate(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
): Promise<(Gate & Patterns) | null> {
  const { rows } = await target.query<Patterns>(
    /* sql */ `
    select state, cutover, ${isoMoment('deadline')} as deadline, include, exclude,
           state = 'armed' and pg_catalog.clock_timestamp() >= deadline as expired
      from walferry.fence_gate where migration = $1`,
    [id],
  );
  const [found] = rows;
  return found ? { ...v.parse(row, found), include: found.include, exclude: found.exclude } : null;
}

/** The gate, locked until the end of the caller's transaction: whoever else changes it waits. */
export async function holdFenceGate(
  target: pg.ClientBase,
  migration: Migration,
): Promise<(Gate & Patterns) | null> {
  await target.query(/* sql */ `select from walferry.fence_gate where migration = $1 for update`, [
    migration.id,
  ]);
  return readFenceGate(target, migration);
}

/** Longest wait for a transaction that arms the gate. */
const ARMING_MS = 10_000;

/** Waits for a transaction that changes the gate: what is read after this call shows it. */
export async function awaitFenceGate(
  target: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
): Promise<void> {
  if (!(await hasFenceGates(target))) return;
  const begin = /* sql */ `begin; set local lock_timeout = ${ARMING_MS}`;
  await inTransaction(
    target,
    () =>
      target.query(/* sql */ `select from walferry.fence_gate where migration = $1 for update`, [
        migration.id,
      ]),
    begin,
  );
}

/**
 * Arms it, in the caller's transaction, which holds the row until its end.
 * @returns the deadline, and whether this call armed it: a repetition gets the same deadline.
 * @throws MigrationError `CutoverRepeated`, `FenceRefused`.
 */
export async function armFenceGate(
  target: pg.ClientBase,
  migration: Migration,
  cutover: string,
  milliseconds: number,
): Promise<{ readonly deadline: string; readonly first: boolean }> {
  const gate = await holdFenceGate(target, migration);
  if (gate === null) throw new MigrationError('FenceRefused', 'the fence is not installed');
  if (gate.state === 'armed' && gate.cutover === cutover && !gate.expired) {
    return { deadline: gate.deadline ?? '', first: false };
  }
  const { rowCount } = await target.query(
    /* sql */ `insert into walferry.fence_used (migration, cutover) values ($1, $2) on conflict do nothing`,
    [migration.id, cutover],
  );
  if (rowCount !== 1) {
    throw new MigrationError(
      'CutoverRepeated',
      `the cutover "${cutover}" has armed the fence before: one that was undone or has expired is not armed again`,
    );
  }
  // Also one that has expired: what it took on the source is still to be given back.
  if (gate.state !== 'open') {
    throw new MigrationError(
      'FenceRefused',
      `the fence is ${gate.state} for cutover "${gate.cutover ?? ''}": it has to be opened first`,
    );
  }
  const { rows } = await target.query<{ deadline: string }>(
    /* sql */ `
    update walferry.fence_gate set state = 'armed', cutover = $2,
           deadline = pg_catalog.clock_timestamp() + $3 * interval '1 ms'
     where migration = $1 returning ${isoMoment('deadline')} as deadline`,
    [migration.id, cutover, milliseconds],
  );
  return { deadline: rows[0]?.deadline ?? '', first: true };
}

/** @returns false: the deadline has passed, or it is not armed for this cutover. */
export async function sealFenceGate(
  target: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.fence_gate set state = 'sealed'
     where migration = $1 and cutover = $2
       and (state = 'sealed' or state = 'armed' and pg_catalog.clock_timestamp() < deadline)`,
    [migration.id, cutover],
  );
  return rowCount === 1;
}

/** Marks it open, in the transaction that forgets what was given back. */
export async function openFenceGate(
  target: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.fence_gate set state = 'open', deadline = null where migration = $1 and cutover = $2`,
    [migration.id, cutover],
  );
}
