/**
 * The look before a commit on the target: is the source's catalog still the one that the batch was understood with? Some DDL
 * leaves no trace in a change (a type with more digits, two columns that swap names): a numeric of four decimals would be
 * rounded into a column of two without an error. Asked after the batch was received and before it is committed, the answer
 * covers every change in it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { PlannedRelation } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import { lookAt } from '../catalog/table-definition.ts';
import { isVisible, parseSnapshot } from '../snapshot/visibility.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { Batch } from './batch.ts';
import type { Left } from './filter.ts';
import { CatalogMoved } from './moved.ts';
import { movedType, type WatchedTypes } from './types.ts';

/** A transaction is decoded a moment before others can see that it committed, with synchronous replication much earlier. */
const FIRST_POLL_MS = 1;
const POLL_MS = 20;
/** It can last hours, with a standby away: then the source has other worries than our looks at its catalog. */
const LONG_WAIT_MS = 2_000;
const LONG_POLL_MS = 250;

/**
 * Returns once the source shows every transaction of the batch, and its tables are as they were. A snapshot that is taken later,
 * for tables that are copied again, then holds all that the stream has passed; the stream never brings it again.
 * @param known what the audit saw, of tables and of their types; the names of which changes were left out; and what decides about
 *   such a name when it is not what it was.
 * @param waiting called before each further look, with the milliseconds since the first; what it throws ends the wait.
 * @throws CatalogMoved when one of the changes' tables was altered since, or has the name of one that is left out; or when the row
 *   of any schema of the plan was written.
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
    /** Throws when a change may have come under a wrong name; asked once the source shows all transactions. */
    readonly refuseDoubtful: () => void;
  },
  waiting: (forMs: number) => Promise<void>,
): Promise<void> {
  if (xids.size === 0 && known.left.length === 0) return;
  const tables = withRoots(relations);
  // Its name may have become a selected table's: what was left out since would be in no stream.
  const left = [...known.left];
  const began = performance.now();
  for (let poll = FIRST_POLL_MS; ; poll = Math.min(poll * 2, POLL_MS)) {
    const { snapshot, fingerprints, schema } = await lookAt(
      source,
      [...tables, ...left],
      known.schemas,
    );
    // Later than that snapshot, so it sees no less.
    const restless = await movedType(source, known.types, tables);
    const moved = tables.find(
      (table, i) => known.fingerprints.get(keyOfName(table)) !== (fingerprints[i] ?? undefined),
    );
    if (moved) throw new CatalogMoved(`${moved.schema}.${moved.name}`, null);
    if (schema !== null) throw new CatalogMoved(`schema ${schema}`, null);
    if (restless !== null) throw new CatalogMoved(restless, null);
    for (const [i, one] of left.entries()) {
      const fingerprint = fingerprints[tables.length + i] ?? null;
      if (fingerprint === one.fingerprint) continue;
      left[i] = { ...one, fingerprint };
      await known.renamed(left[i]);
    }
    // DDL of a transaction in the batch itself shows only once that transaction does.
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

/** Rows of a partition that left the tree are still in the root: a key that comes again would be refused there. */
function withRoots(relations: ReadonlySet<PlannedRelation>): TableName[] {
  const roots = new Map(
    [...relations].flatMap(({ destination }) =>
      destination ? [[keyOfName(destination), destination]] : [],
    ),
  );
  return [...relations, ...roots.values()];
}
