/**
 * The look before a commit on the target: is the source's catalog still the one that the batch was understood with? Some DDL
 * leaves no trace in a change (a type with more digits, two columns that swap names): a numeric of four decimals would be
 * rounded into a column of two without an error. Asked after the batch was received and before it is committed, the answer
 * covers every change in it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Change, PlannedRelation } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import { lookAt } from '../catalog/shape.ts';
import { isVisible, parseSnapshot } from '../snapshot/visibility.ts';
import { tableKey } from './audit.ts';
import { CatalogMoved } from './moved.ts';

/** With synchronous replication a transaction is decoded before others can see that it committed. */
const POLL_MS = 20;

/**
 * @param tokens what the audit saw, by table.
 * @param waiting called before each further look.
 * @throws CatalogMoved when one of the changes' tables was altered since.
 */
export async function verifyCatalog(
  source: pg.ClientBase,
  changes: readonly Change[],
  tokens: ReadonlyMap<string, string>,
  waiting: () => void,
): Promise<void> {
  const { tables, xids } = touched(changes);
  if (tables.length === 0) return;
  for (;;) {
    const { snapshot, tokens: now } = await lookAt(source, tables);
    const moved = tables.some(
      ({ schema, name }, i) => tokens.get(tableKey(schema, name)) !== (now[i] ?? undefined),
    );
    if (moved) throw new CatalogMoved(null);
    // DDL of a transaction in the batch itself shows only once that transaction does.
    const seen = parseSnapshot(snapshot);
    if ([...xids].every((xid) => isVisible(xid, seen))) return;
    waiting();
    await sleep(POLL_MS);
  }
}

function touched(changes: readonly Change[]): { tables: TableName[]; xids: Set<number> } {
  const tables = new Set<PlannedRelation>();
  const xids = new Set<number>();
  for (const change of changes) {
    if (change.kind === 'truncate') for (const relation of change.relations) tables.add(relation);
    else tables.add(change.relation);
    if (change.xid !== null) xids.add(change.xid);
  }
  // Rows of a partition that left the tree are still in the root: a key that comes again would be refused there.
  const roots = new Map(
    [...tables].flatMap(({ destination }) =>
      destination ? [[tableKey(destination.schema, destination.name), destination]] : [],
    ),
  );
  return { tables: [...tables, ...roots.values()], xids };
}
