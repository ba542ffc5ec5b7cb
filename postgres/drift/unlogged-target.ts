/** Tables that are unlogged on the target: a crash may already have emptied them, without a trace. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { NOTHING_IGNORED, type IgnorePatterns } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { readUnlogged, requireLogged, UNLOGGED_ON_TARGET } from '../catalog/unlogged.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import { drift } from './drift-failure.ts';
import { recordDecisions } from './drift-record.ts';
import type { DriftReport } from './table-drift.ts';

/** Marks the tables for a resync, which runs once they are logged. @throws MigrationError `SchemaDrift`. */
export async function refuseUnlogged(
  target: pg.ClientBase,
  migration: Migration,
  {
    rows,
    here,
    ignore = NOTHING_IGNORED,
    epoch,
  }: {
    readonly rows: readonly PlannedRelationRow[];
    readonly here: readonly Relation[];
    readonly ignore?: IgnorePatterns;
    readonly epoch: bigint | null;
  },
  found: DriftReport,
): Promise<void> {
  const wanted = requireLogged(destinationsOf([...rows, ...here]), here, ignore);
  const unlogged = await readUnlogged(target, wanted);
  if (unlogged.length === 0) return;
  const names = new Set(unlogged.map(keyOfName));
  const emptied = rows.filter((row) => names.has(keyOfName(destinationOf(row))));
  for (const { id, kind, viaRoot } of emptied) {
    if (viaRoot === null && kind === 'r') found.again.set(id, UNLOGGED_ON_TARGET);
  }
  const roots = destinationsOf(emptied.filter(({ viaRoot }) => viaRoot !== null));
  found.trees.push(...roots.map((root) => ({ ...root, reason: UNLOGGED_ON_TARGET })));
  // Before any partition joins the plan.
  await recordDecisions(target, migration, epoch, found, () => null);
  throw drift(
    unlogged.map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: UNLOGGED_ON_TARGET,
    })),
  );
}
