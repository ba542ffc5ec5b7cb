/** A part of the tables' schema that fits into one transaction: its statements run and are marked together. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { countEntries } from '../store/entry-count.ts';
import { markEntriesDone } from '../store/entry-mark.ts';
import { readLateGrants } from '../store/grant-entry.ts';
import { nameEntry, readKinds, readWaiting, type StoredEntry } from '../store/schema-entry.ts';
import { markTablesCreated } from '../store/tables-created.ts';
import { grantEarly, grantOnPresent } from './late-grant.ts';
import { aboutOthers, creations } from '../archive/existing-object.ts';
import { runOther } from './run-other.ts';
import { OwnerRights } from '../archive/owner.ts';
import { advised } from './schema-refusal.ts';
import { runEntry } from './run-entry.ts';
import { failed } from '../session/ddl-failure.ts';

/** Most locks that creating one table takes: the table, its TOAST table, the TOAST index, a sequence. */
const LOCKS_PER_ENTRY = 5;
/** For tests: treats a small schema like a large one. */
export interface Limits {
  readonly entriesPerTransaction?: number;
  /** Also splits the dump. */
  readonly tablesPerDump?: number;
}

const BEAT_EVERY_ENTRIES = 50;

/** Runs and marks the next statements; after the last one, marks the whole schema. */
export async function createBatch(
  client: pg.ClientBase,
  migration: Migration,
  work: Work,
  limits: Limits,
): Promise<void> {
  await client.query(
    /* sql */ `select pg_advisory_xact_lock(hashtextextended('walferry schema', 0))`,
  );
  const size = limits.entriesPerTransaction ?? (await batchSize(client));
  // One more than fits shows whether these are the last.
  const waiting = await readWaiting(client, migration.id, 'tables', size + 1);
  const batch = waiting.slice(0, size);
  const { done = 0, total = 0 } = (await countEntries(client, migration.id)).get('tables') ?? {};
  const others = aboutOthers(batch, creations(await readObjects(client, migration, batch)));
  const rights = new OwnerRights(client);
  const late = await readLateGrants(client, migration);
  for (const [index, entry] of batch.entries()) {
    work.signal.throwIfAborted();
    try {
      if (others.has(entry.id)) {
        await rights.takeBack();
        if (entry.kind !== 'ACL') await runOther(client, migration.id, entry);
        else if (await grantOnPresent(client, migration, entry)) late.add(entry.id);
      } else if (entry.kind === 'ACL') {
        await grantEarly(client, migration, entry, { rights, late });
      } else await runEntry(client, entry, rights);
    } catch (error) {
      work.signal.throwIfAborted();
      throw advised(
        entry,
        failed(error, {
          what: `${nameEntry(entry)} could not be created`,
          object: nameEntry(entry),
          code: 'SchemaFailed',
        }),
      );
    }
    if (index % BEAT_EVERY_ENTRIES === 0) {
      work.beat({ step: 'creating tables', done: done + index, total });
    }
  }
  await rights.takeBack();
  await markEntriesDone(
    client,
    migration.id,
    batch.flatMap(({ id }) => (late.has(id) ? [] : [id])),
  );
  if (batch.length === waiting.length) await markTablesCreated(client, migration);
}

/** Objects of the batch's grants and comments that walferry creates. */
async function readObjects(
  client: pg.ClientBase,
  migration: Migration,
  batch: readonly StoredEntry[],
): Promise<Pick<StoredEntry, 'id' | 'kind'>[]> {
  const about = batch.filter(({ kind }) => kind === 'ACL' || kind === 'COMMENT');
  return readKinds(
    client,
    migration.id,
    about.flatMap(({ depends }) => depends),
  );
}

/** Number of entries whose locks fit into half of the target's lock table. */
export async function batchSize(client: pg.ClientBase): Promise<number> {
  return lockableObjects([client], LOCKS_PER_ENTRY);
}
