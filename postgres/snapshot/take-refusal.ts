/** Tables that no pass may take: the operator is asked first. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import { unloggedText } from '../catalog/table-file.ts';
import { keyOfName, nameOf, quoted } from '../catalog/table-name.ts';
import { withRows } from '../schema/existing.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import type { Ignored } from '../catalog/ignore-patterns.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';

const NAMES_SHOWN = 10;

/** An unlogged table sends no changes. @throws MigrationError `SchemaDrift`. */
export function refuseUnlogged(
  tables: readonly PlannedRelationRow[],
  {
    found,
    definitions,
    ignored,
  }: {
    readonly found: readonly Relation[];
    readonly definitions: ReadonlyMap<number, TableDefinition>;
    readonly ignored: Ignored;
  },
): void {
  const names = new Set(tables.map(keyOfName));
  const unlogged = found.filter(
    (one) =>
      names.has(keyOfName(one)) &&
      definitions.get(one.oid)?.persistence === 'u' &&
      !ignored.unlogged(one),
  );
  const [first] = unlogged;
  if (!first) return;
  const shown = unlogged.slice(0, NAMES_SHOWN).map((one) => `${nameOf(one)} ${unloggedText(one)}`);
  const more = unlogged.length > NAMES_SHOWN ? `; and ${unlogged.length - NAMES_SHOWN} more` : '';
  throw new MigrationError('SchemaDrift', `${shown.join('; ')}${more}`, { table: nameOf(first) });
}

/**
 * A table that was never copied must be empty on the target: existing rows would be duplicated.
 * @throws MigrationError `SchemaDrift`.
 */
export async function refuseFilled(
  target: pg.ClientBase,
  tables: readonly PlannedRelationRow[],
  counterparts: readonly Relation[],
): Promise<void> {
  const there = new Set(counterparts.map(keyOfName));
  const takenBefore = new Set(
    tables
      .filter(({ state }) => state !== 'pending')
      .map((table) => keyOfName(destinationOf(table))),
  );
  const fresh = destinationsOf(tables).filter(
    (table) => !takenBefore.has(keyOfName(table)) && there.has(keyOfName(table)),
  );
  const filled = await withRows(
    target,
    fresh.map(({ schema, name }) => ({ schema, name, sql: quoted({ schema, name }) })),
  );
  const [first] = filled;
  if (!first) return;
  const shown = filled.slice(0, NAMES_SHOWN).map(({ schema, name }) => `${schema}.${name}`);
  const more = filled.length > NAMES_SHOWN ? ` and ${filled.length - NAMES_SHOWN} more` : '';
  throw new MigrationError(
    'SchemaDrift',
    `tables that were never copied already have rows on the target: ${shown.join(', ')}${more}; empty them there, then resume`,
    { table: `${first.schema}.${first.name}` },
  );
}
