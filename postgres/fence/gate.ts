/**
 * The gate: one row for each migration, beside the function whose text it describes. Row and text change in one transaction, so
 * whoever has the row may replace the text. It is in the catalog of the fenced server: it survives restarts and failovers.
 */
import type pg from 'pg';
import * as v from 'valibot';
import { MigrationError } from '../../contract/failure.ts';
import type { Gate } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import { FENCE_SCHEMA } from '../catalog/own-object.ts';
import type { Selection } from '../catalog/selection.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { isoMoment } from '../connection/iso-moment.ts';
import { fenceNames } from './fence-name.ts';
import type { Arming } from './fence-contract.ts';
import { replaceBody } from './replace-body.ts';

const GATE = `${FENCE_SCHEMA}.gate`;
const USED = `${FENCE_SCHEMA}.used`;
/** No one holds the gate's row for longer than one of these short transactions; a hung one must not hang us. */
const BEGIN = /* sql */ `begin; set local lock_timeout = 2000`;

const gateRow = v.object({
  state: v.picklist(['open', 'armed', 'sealed', 'closed']),
  cutover: v.nullable(v.string()),
  deadline: v.nullable(v.string()),
  expired: v.boolean(),
});

/** Whether the database has the schema of a fence, of any migration. */
export async function hasGate(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    /* sql */ `select pg_catalog.to_regclass('${GATE}') is not null as there`,
  );
  return rows[0]?.there === true;
}

/** The gate of the migration; null if it has none. */
export async function readGate(client: pg.ClientBase, migration: Migration): Promise<Gate | null> {
  if (!(await hasGate(client))) return null;
  const { rows } = await client.query(
    /* sql */ `
    select state, cutover, ${isoMoment('deadline')} as deadline,
           state = 'armed' and pg_catalog.clock_timestamp() >= deadline as expired
      from ${GATE} where migration = $1`,
    [migration.id],
  );
  return rows[0] === undefined ? null : v.parse(gateRow, rows[0]);
}

export interface FoundGate {
  readonly id: string;
  readonly workflowId: string;
  readonly state: Gate['state'];
}

/** The gates of all migrations on this server; none where the role may not read them. */
export async function readGates(client: pg.ClientBase): Promise<FoundGate[]> {
  const { rows: may } = await client.query<{ may: boolean }>(/* sql */ `
    select coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('${GATE}')::pg_catalog.oid, 'select'), false)
       and coalesce((select pg_catalog.has_schema_privilege(n.oid, 'usage') from pg_catalog.pg_namespace n where n.nspname = '${FENCE_SCHEMA}'), false) as may`);
  if (may[0]?.may !== true) return [];
  const { rows } = await client.query<FoundGate>(
    /* sql */ `select migration as id, workflow as "workflowId", state from ${GATE} order by 1`,
  );
  return rows;
}

/** The selection that the fence was installed for: a later look finds the tables that were created since. */
export async function readSelection(
  client: pg.ClientBase,
  migration: Migration,
): Promise<Selection | null> {
  const { rows } = await client.query<{ include: string[]; exclude: string[] }>(
    /* sql */ `select include, exclude from ${GATE} where migration = $1`,
    [migration.id],
  );
  return rows[0] ?? null;
}

export interface NewGate {
  /** State of a gate that is made. */
  readonly initial: 'open' | 'closed';
  /** First statement of the transaction; false: nothing is to be made. */
  readonly hold?: () => Promise<boolean>;
}

/**
 * Creates schema, gate and function where they are missing; a gate that is there keeps its state.
 * @returns whether there is one now.
 * @throws an error of the driver: 42501 without CREATE on the database, or when the schema belongs to another role.
 */
export async function ensureGate(
  client: pg.ClientBase,
  migration: Migration,
  { include, exclude }: Selection,
  { initial, hold }: NewGate,
): Promise<boolean> {
  return inTransaction(
    client,
    async () => {
      if (hold && !(await hold())) return false;
      // `if not exists` is not safe between two sessions, and asks for CREATE on the database even when the schema is there.
      await client.query(ONE_AT_A_TIME);
      if (!(await hasGate(client))) await client.query(CREATE);
      const { rowCount } = await client.query(
        /* sql */ `
        insert into ${GATE} (migration, workflow, state, include, exclude) values ($1, $2, $3, $4, $5) on conflict do nothing`,
        [migration.id, migration.workflowId, initial, include, exclude],
      );
      if (rowCount === 1) await replaceBody(client, migration, { state: initial });
      else {
        await client.query(
          /* sql */ `update ${GATE} set include = $2, exclude = $3 where migration = $1 and (include, exclude) is distinct from ($2, $3)`,
          [migration.id, include, exclude],
        );
      }
      return true;
    },
    BEGIN,
  );
}

const ONE_AT_A_TIME = /* sql */ `select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('${FENCE_SCHEMA}', 0))`;

const CREATE = /* sql */ `
create schema if not exists ${FENCE_SCHEMA};
comment on schema ${FENCE_SCHEMA} is 'Stops writes for a cutover of walferry; removed when its migration ends.';
create table ${GATE} (
  migration text primary key,
  workflow text not null,                  -- id of its workflow, for whoever finds it later
  state text not null check (state in ('open', 'armed', 'sealed', 'closed')),
  cutover text,                            -- the last one that armed it
  deadline timestamptz,                    -- of the arming; by this server's clock
  include text[] not null,                 -- the selection that it fences
  exclude text[] not null
);
create table ${USED} (
  cutover text primary key,                -- an id arms once: a driver that wakes up late must not arm again after the undo
  migration text not null
)`;

/**
 * See `Fence.arm`.
 * @throws MigrationError `CutoverRepeated`, `FenceRefused`.
 */
export async function armGate(
  client: pg.ClientBase,
  migration: Migration,
  { cutover, milliseconds }: Arming,
): Promise<{ deadline: string }> {
  return inTransaction(
    client,
    async () => {
      const gate = await lockGate(client, migration);
      if (gate.state === 'armed' && gate.cutover === cutover && !gate.expired) {
        return { deadline: gate.deadline ?? '' };
      }
      await useOnce(client, migration, cutover);
      // An expired gate of another cutover may be taken: that one can no longer seal it.
      if (gate.state !== 'open' && !(gate.state === 'armed' && gate.expired)) {
        throw new MigrationError(
          'FenceRefused',
          `the fence on "${migration.source}" is ${gate.state} for cutover "${gate.cutover ?? ''}": it has to be opened first`,
        );
      }
      const { rows } = await client.query<{ deadline: string }>(
        /* sql */ `
        update ${GATE} set state = 'armed', cutover = $2,
               deadline = pg_catalog.clock_timestamp() + $3 * interval '1 ms'
         where migration = $1 returning ${isoMoment('deadline')} as deadline`,
        [migration.id, cutover, milliseconds],
      );
      const deadline = rows[0]?.deadline ?? '';
      await replaceBody(client, migration, { state: 'armed', deadline });
      return { deadline };
    },
    BEGIN,
  );
}

async function useOnce(
  client: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<void> {
  const { rowCount } = await client.query(
    /* sql */ `insert into ${USED} (cutover, migration) values ($1, $2) on conflict do nothing`,
    [cutover, migration.id],
  );
  if (rowCount === 1) return;
  throw new MigrationError(
    'CutoverRepeated',
    `the cutover "${cutover}" has armed the fence on "${migration.source}" before: one that was undone or has expired is not armed again`,
  );
}

/** See `Fence.seal`. The clock is read in the statement that decides: a driver that was frozen before it finds the deadline passed. */
export async function sealGate(
  client: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<boolean> {
  return inTransaction(
    client,
    async () => {
      const { rowCount } = await client.query(
        /* sql */ `
        update ${GATE} set state = 'sealed'
         where migration = $1 and cutover = $2 and state = 'armed' and pg_catalog.clock_timestamp() < deadline`,
        [migration.id, cutover],
      );
      if (rowCount === 1) {
        await replaceBody(client, migration, { state: 'sealed' });
        return true;
      }
      const gate = await readGate(client, migration);
      return gate?.state === 'sealed' && gate.cutover === cutover;
    },
    BEGIN,
  );
}

/** See `Fence.open`. */
export async function openGate(
  client: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<void> {
  if (!(await hasGate(client))) return;
  await inTransaction(
    client,
    async () => {
      const { rowCount } = await client.query(
        /* sql */ `
        update ${GATE} set state = 'open', deadline = null
         where migration = $1 and cutover = $2 and state in ('armed', 'sealed')`,
        [migration.id, cutover],
      );
      if (rowCount === 1) await replaceBody(client, migration, { state: 'open' });
    },
    BEGIN,
  );
}

/** Sets the gate of a target, in the caller's transaction; nothing without a gate. */
export async function setTargetGate(
  client: pg.ClientBase,
  migration: Migration,
  state: 'open' | 'closed',
): Promise<void> {
  if (!(await hasGate(client))) return;
  const { rowCount } = await client.query(
    /* sql */ `update ${GATE} set state = $2 where migration = $1 and state <> $2 and state in ('open', 'closed')`,
    [migration.id, state],
  );
  if (rowCount === 1) await replaceBody(client, migration, { state });
}

async function lockGate(client: pg.ClientBase, migration: Migration): Promise<Gate> {
  // First the row: two sessions that replace the function at once fail with "tuple concurrently updated".
  const there =
    (await hasGate(client)) &&
    (await client.query(/* sql */ `select from ${GATE} where migration = $1 for update`, [
      migration.id,
    ]));
  const gate = there === false ? null : await readGate(client, migration);
  if (gate) return gate;
  throw new MigrationError(
    'FenceRefused',
    `the fence is not installed on "${migration.source}": it is armed only when every table has it`,
    { object: fenceNames(migration).functionSql },
  );
}

/** Drops the gate's row and the function, and the schema with the last of them. */
export async function dropGate(
  client: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
): Promise<void> {
  await inTransaction(
    client,
    async () => {
      await client.query(ONE_AT_A_TIME);
      if (!(await hasGate(client))) return;
      // Without CASCADE: a trigger that is left keeps its function.
      await client.query(
        /* sql */ `drop function if exists ${fenceNames(migration).functionSql}()`,
      );
      await client.query(/* sql */ `delete from ${GATE} where migration = $1`, [migration.id]);
      await client.query(/* sql */ `delete from ${USED} where migration = $1`, [migration.id]);
      const { rowCount } = await client.query(/* sql */ `select from ${GATE} limit 1`);
      if (rowCount === 0)
        await client.query(/* sql */ `drop table ${GATE}, ${USED}; drop schema ${FENCE_SCHEMA}`);
    },
    BEGIN,
  );
}
