/**
 * Row security that is deferred until the cutover: with it, the role that applies changes would not see all rows. The
 * control schema's entries record which tables have it.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { quoted } from '../catalog/table-name.ts';
import type { Attempt, ObjectSwitch } from './switch-objects.ts';
import { openSource, type ChecksOf } from './waiting-check.ts';
import { markEntriesDone, markEntriesUndone } from '../store/entry-mark.ts';
import {
  type RowSecurity,
  readWaitingRowSecurity,
  readEnabledRowSecurity,
} from '../store/row-security-entry.ts';

const nameSecurity = ({ schema, name }: RowSecurity): string => `row security of ${schema}.${name}`;

/**
 * Enables the row security that was deferred because it would have hidden rows from the role that applies changes. If the
 * source has disabled it since, it stays off: enabled needlessly, it would hide the application's rows from itself.
 */
export async function enableRowSecurity(
  { target, all }: ObjectSwitch,
  migration: Migration,
  of: ChecksOf,
  { signal }: Attempt,
): Promise<void> {
  const waiting = await readWaitingRowSecurity(target, migration);
  const off = waiting.length === 0 ? [] : await switchedOff(migration, waiting, of, signal);
  const rows = waiting.filter((one) => !off.includes(one.id));
  await all(rows, nameSecurity, async (one) => {
    await target.query(/* sql */ `alter table ${quoted(one)} enable row level security`);
    await markEntriesDone(target, migration.id, [one.id]);
  });
}

/** Ids of tables whose row security is off on the source now; tables that are gone there are not included. */
async function switchedOff(
  migration: Migration,
  waiting: readonly RowSecurity[],
  of: ChecksOf,
  signal: AbortSignal | undefined,
): Promise<readonly number[]> {
  if (of === 'nothing') return [];
  await using source = await openSource(migration, of, signal);
  return source ? await readSwitchedOff(source, waiting) : [];
}

/** The same, in an open session of the source. */
async function readSwitchedOff(
  source: pg.ClientBase,
  waiting: readonly RowSecurity[],
): Promise<readonly number[]> {
  if (waiting.length === 0) return [];
  const { rows } = await source.query<{ id: number }>(
    /* sql */ `
    select w.id from jsonb_to_recordset($1::jsonb) as w (id integer, schema text, name text)
      join pg_catalog.pg_namespace n on n.nspname = w.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
     where not c.relrowsecurity`,
    [JSON.stringify(waiting)],
  );
  return rows.map(({ id }) => id);
}

/** Names of row security that {@link enableRowSecurity} has yet to enable; without what the source has disabled. */
export async function readUnsecured(
  { source, target }: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  migration: Migration,
): Promise<string[]> {
  const waiting = await readWaitingRowSecurity(target, migration);
  const off = await readSwitchedOff(source, waiting);
  return waiting.filter(({ id }) => !off.includes(id)).map(nameSecurity);
}

/** Disables row security again. A role that bypasses it enabled it before the cutover and keeps it, which loses nothing. */
export async function disableRowSecurity(
  { target, all }: ObjectSwitch,
  migration: Migration,
): Promise<void> {
  const rows = await readEnabledRowSecurity(target, migration);
  await all(rows, nameSecurity, async (one) => {
    await target.query(/* sql */ `alter table ${quoted(one)} disable row level security`);
    await markEntriesUndone(target, migration.id, [one.id]);
  });
}
