/**
 * The check before a commit on the target: is the source's catalog still the one that the batch was decoded with? Some DDL leaves
 * no trace in a change (a type with more digits, two columns that swap names): a numeric with four decimals would be rounded to
 * two without an error. The check runs after the batch was received and before it is committed, so it covers every change in it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { PlannedRelation } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import { lookAt } from '../catalog/table-definition.ts';
import { isVisible, parseSnapshot } from '../catalog/visibility.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { Batch } from '../apply/batch.ts';
import type { Left } from './table-mapping.ts';
import { CatalogMoved } from './catalog-moved.ts';
import { movedType, type WatchedTypes } from './followed-type.ts';

/** A transaction is decoded shortly before its commit is visible to others; with synchronous replication, long before. */
const FIRST_POLL_MS = 1;
const POLL_MS = 20;
/** With a standby down the wait can last hours: then our queries should not burden the source. */
const LONG_WAIT_MS = 2_000;
const LONG_POLL_MS = 250;

/**
 * Returns once every transaction of the batch is visible on the source and its tables are unchanged. So a snapshot that is taken
 * later, for a resync, includes everything that the stream has applied and never delivers again.
 * @param known what the drift check saw of tables and their types; the names whose changes were excluded; and what decides about
 *   such a name when its fingerprint changes.
 * @param waiting called before each further check, with the milliseconds since the first; what it throws ends the wait.
 * @throws CatalogMoved when a table of the batch was altered, or has the name of an excluded one; or when the row of any planned
 *   schema was written.
 */
export async function verifyCatalog(
  source: pg.ClientBase,
  { relations, xids }: Pick<Batch, 'relations' | 'xids'>,
  known: {
    readonly fingerprints: ReadonlyMap<string, string>;
    readonly types: WatchedTypes;
    readonly left: readonly Left[];
    readonly renamed: (left: Left) => Promise<void>;
    /** Rows of the tables' schemas. */
    readonly schemas: SchemaRows;
    /** Throws when a change may have arrived under a wrong name; called once all transactions are visible. */
    readonly refuseDoubtful: () => void;
  },
  waiting: (forMs: number) => Promise<void>,
): Promise<void> {
  if (xids.size === 0 && known.left.length === 0) {
    // What a barrier shows is visible, and may still have had a wrong name.
    known.refuseDoubtful();
    return;
  }
  const tables = withRoots(relations);
  // An excluded name may now belong to a selected table: changes excluded since then would be lost.
  const left = [...known.left];
  const began = performance.now();
  for (let poll = FIRST_POLL_MS; ; poll = Math.min(poll * 2, POLL_MS)) {
    const { snapshot, fingerprints, schema } = await lookAt(
      source,
      [...tables, ...left],
      known.schemas,
    );
    // Runs after that snapshot, so it sees no less.
    const changedType = await movedType(source, known.types, tables);
    const moved = tables.find(
      (table, i) => known.fingerprints.get(keyOfName(table)) !== (fingerprints[i] ?? undefined),
    );
    if (moved) throw new CatalogMoved(`${moved.schema}.${moved.name}`, null);
    if (schema !== null) throw new CatalogMoved(`schema ${schema}`, null);
    if (changedType !== null) throw new CatalogMoved(changedType, null);
    for (const [i, one] of left.entries()) {
      const fingerprint = fingerprints[tables.length + i] ?? null;
      if (fingerprint === one.fingerprint) continue;
      left[i] = { ...one, fingerprint };
      await known.renamed(left[i]);
    }
    // DDL of a transaction in the batch is visible only once that transaction is.
    const seen = parseSnapshot(snapshot);
    if ([...xids].every((xid) => isVisible(xid, seen))) {
      known.refuseDoubtful();
      return;
    }
    const forMs = performance.now() - began;
    await waiting(forMs);
    await sleep(forMs < LONG_WAIT_MS ? poll : LONG_POLL_MS);
  }
}

/** Rows of a detached partition are still in the target's root: a key that arrives again would violate its unique index. */
function withRoots(relations: ReadonlySet<PlannedRelation>): TableName[] {
  const roots = new Map(
    [...relations].flatMap(({ destination }) =>
      destination ? [[keyOfName(destination), destination]] : [],
    ),
  );
  return [...relations, ...roots.values()];
}
