/** A table without a mapping, or with a change that fits no row shape: whether it is still the one that the drift check saw. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { isTableSelected } from '../catalog/read-relations.ts';
import type { Selection } from '../catalog/selection.ts';
import { lookAt } from '../catalog/table-definition.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { untilVisible } from '../catalog/transaction-wait.ts';
import type { DriftCheck } from '../drift/drift-check.ts';
import { CatalogMoved } from '../drift/catalog-moved.ts';
import type { Unsettled } from '../drift/table-mapping.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';

/** For the change's transaction, whose DDL is visible only then. */
const VISIBLE_MS = 5_000;

/**
 * @returns the table's fingerprint on the source; null: there is no such table.
 * @throws CatalogMoved when the table is not the one that the drift check saw: the next drift check decides.
 */
export async function requireUnmoved(
  source: pg.ClientBase,
  known: {
    readonly rows: readonly PlannedRelationRow[];
    readonly selection: Selection;
    readonly checked: DriftCheck;
  },
  table: Unsettled,
): Promise<string | null> {
  const { schema, table: name } = table;
  // After the limit, the worst result is an unnecessary resync.
  await untilVisible(source, [table.xid], VISIBLE_MS);
  const { fingerprints } = await lookAt(source, [{ schema, name }]);
  const fingerprint = fingerprints[0] ?? null;
  const seen = known.checked.fingerprints.get(keyOfName({ schema, name }));
  if (table.shapeMismatch !== undefined) {
    if (fingerprint !== seen) throw new CatalogMoved(fullName(table), table);
    return fingerprint;
  }
  // If it is gone, its rows may now be in a table that the next drift check finds. If it exists but is not selected, it is
  // excluded, a materialized view (which sends changes when refreshed concurrently), or a member of an extension.
  if (fingerprint !== null && (await isSelectedNow(source, known, { schema, name })))
    throw new CatalogMoved(fullName(table), table);
  return fingerprint;
}

/** Adds the change that showed the difference. */
export function at(
  failure: MigrationError,
  { commitLsn, shapeMismatch }: Unsettled,
): MigrationError {
  const what = shapeMismatch === undefined ? '' : `: it ${shapeMismatch}`;
  return new MigrationError(
    failure.code,
    `${failure.message} (first shown by a change at ${commitLsn}${what})`,
    { ...failure.details, lsn: commitLsn },
  );
}

/** Runs the drift check, and adds to its failure the change that made it necessary. */
export async function located<T>(met: Unsettled | null, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof MigrationError) || met === null) throw error;
    // The next pass needs no position.
    throw error.code === 'Resync' || error.details.table !== fullName(met) ? error : at(error, met);
  }
}

/** `schema.name`, for messages. */
export function fullName({ schema, table }: Unsettled): string {
  return `${schema}.${table}`;
}

/** Whether the selection has the name, or a planned table now has it. */
export async function isSelectedNow(
  source: pg.ClientBase,
  {
    rows,
    selection,
  }: { readonly rows: readonly PlannedRelationRow[]; readonly selection: Selection },
  { schema, name }: { readonly schema: string; readonly name: string },
): Promise<boolean> {
  if (await isTableSelected(source, selection, { schema, name })) return true;
  // A planned table that was renamed to a name outside the selection.
  const { rows: named } = await source.query<{ oid: number }>(
    /* sql */ `select c.oid::int8::float8 as oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  );
  return rows.some(({ oid }) => oid === named[0]?.oid);
}
