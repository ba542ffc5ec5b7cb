/**
 * The target's tables before the rows: control schema, the migration's row and all pre-data, normally in one transaction,
 * so that an error leaves nothing behind and a retry finds all or nothing. A schema so large that one transaction's locks
 * do not fit into the target's lock table goes in several; the marks tell a retry where to go on, and an error that a
 * person has to mend undoes what was made.
 */
import type pg from 'pg';
import { FAILURES, MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { LeftOut, SchemaReport, Work } from '../../contract/work.ts';
import { compareColumns, partitionsInTheWay, renderDifferences } from '../catalog/drift.ts';
import { readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationsOf, isViaRoot } from '../catalog/root.ts';
import { compileSelection } from '../catalog/selection.ts';
import { registerMigration, type Registration } from '../control/migration.ts';
import { registerRelations } from '../control/relation.ts';
import { CREATE_CONTROL_SCHEMA } from '../control/schema.ts';
import { CREATE_SCHEMA_CONTROL, nameEntry, readEntries, storeEntries } from './control.ts';
import { ArchiveFile } from './dump.ts';
import { findPresent, findTables, requireRoots } from './existing.ts';
import { filterArchive, type FilteredArchive, type SchemaPhase } from './filter.ts';
import { endEarlierSessions, Lane } from './lane.ts';
import { readLeftOut, storeLeftOut } from './left-out.ts';
import { loudStates, quietTables } from './quiet.ts';
import { SourceSchema } from './source.ts';
import { failed, prepareSession } from './statement.ts';
import { undoSchema } from './undo.ts';

/** Locks that the creation of one table takes at most: itself, its TOAST table and that one's index, its sequence. */
const LOCKS_PER_ENTRY = 5;
/** For tests: a small schema takes the way of a large one. */
export interface Limits {
  readonly entriesPerTransaction?: number;
}

const BEAT_EVERY_ENTRIES = 50;
const SHOWN = 10;

/**
 * Creates the selected tables and what they need, or takes over empty ones that are there. Idempotent.
 * @throws MigrationError `SchemaFailed` naming the object and the SQLSTATE, `Denied`, `SchemaDrift`; nothing is left on
 *   the target then. `signal.reason` when aborted.
 */
export async function copySchema(
  migration: Migration,
  input: MigrationInput,
  work: Work,
  limits: Limits = {},
): Promise<SchemaReport> {
  try {
    await using lane = await Lane.open(
      { side: 'target', migration, purpose: 'schema' },
      work.signal,
      { unregistered: 'yet' },
    );
    await endEarlierSessions(lane.client, 'schema');
    await prepareSession(lane.client);
    if ((await lane.run((client) => progressOf(client, migration))) === 'absent') {
      await begin(lane, migration, input, work, limits);
    }
    await createRest(lane, migration, work, limits);
    return await report(lane.client, migration, input);
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, { what: 'the schema could not be copied', code: 'SchemaFailed' });
  }
}

async function progressOf(
  target: pg.ClientBase,
  migration: Migration,
): Promise<'absent' | 'begun' | 'created' | 'used'> {
  const { rows } = await target.query<{ there: boolean }>(
    /* sql */ `select to_regclass('walferry.schema_entry') is not null as there`,
  );
  if (rows[0]?.there !== true) return 'absent';
  const found = await target.query<{ created: boolean | null }>(
    /* sql */ `select tables_created as created from walferry.migration where id = $1`,
    [migration.id],
  );
  const row = found.rows[0];
  if (row === undefined) return 'absent';
  return row.created === null ? 'begun' : row.created ? 'created' : 'used';
}

async function report(
  target: pg.ClientBase,
  migration: Migration,
  input: MigrationInput,
): Promise<SchemaReport> {
  const leftOut = await readLeftOut(target, migration.id);
  if ((await progressOf(target, migration)) === 'used') {
    await using source = await SourceSchema.open(migration, input);
    return {
      ...{ created: false, tables: source.tables.length, statements: 0 },
      later: { indexes: 0, constraints: 0 },
      ...leftOutOf(leftOut),
    };
  }
  const all = await readEntries(target, migration.id, ['tables', 'indexes', 'constraints']);
  const of = (wanted: SchemaPhase) => all.filter(({ phase }) => phase === wanted);
  return {
    created: true,
    tables: of('tables').filter(({ kind }) => kind === 'TABLE').length,
    statements: of('tables').length,
    later: { indexes: of('indexes').length, constraints: of('constraints').length },
    ...leftOutOf(leftOut),
  };
}

function leftOutOf(leftOut: LeftOut | undefined): Pick<SchemaReport, 'leftOut'> {
  return leftOut === undefined ? {} : { leftOut };
}

/** Reads the source, decides, and writes the control rows together with the first (normally the only) batch. */
async function begin(
  lane: Lane,
  migration: Migration,
  input: MigrationInput,
  work: Work,
  limits: Limits,
): Promise<void> {
  await using source = await SourceSchema.open(migration, input);
  const { own, rooted } = source;
  await lane.run((client) => requireRoots(client, destinationsOf(rooted)));
  const state = await lane.run((client) => findTables(client, own));
  if (state === 'empty') {
    await useTables(lane, migration, source);
    return;
  }
  const { archive, populated, members } = await source.dump(work);
  await using file = await ArchiveFile.create(archive, work.signal);
  const entries = await file.entries(input.schema.owners);
  work.beat({ step: 'sorting the schema', entries: entries.length });
  const matcher = compileSelection(input.tables);
  const plan = filterArchive(entries, {
    selected: new Set(
      source.relations.filter(({ viaRoot }) => viaRoot === null).map(({ oid }) => String(oid)),
    ),
    given: new Set(rooted.filter(isViaRoot).map(({ oid }) => String(oid))),
    excluded: (schema, name) => matcher.excludes({ schema, name }),
    grants: input.schema.grants,
    leave: {
      extensions: new Set(input.leave.extensions),
      eventTriggers: new Set(input.leave.eventTriggers),
      members,
    },
  });
  refuseImpossible(plan);
  if (plan.leftOut.length > 0) {
    work.log.info('objects that stand on tables left out are left out too', {
      count: plan.leftOut.length,
      objects: plan.leftOut.slice(0, 100),
    });
  }
  const uncarried = await source.uncarried(true);
  const loud = rooted.length > 0 ? await loudStates(lane.client) : [];
  await lane.transaction(async (client) => {
    if (!(await register(client, migration, source, { tablesCreated: null, archive }))) return;
    await useGiven(client, migration, rooted, loud);
    const present = await findPresent(client, plan.kept, plan.mayBeThere);
    await storeEntries(client, migration.id, plan.kept, { present, refresh: populated });
    await storeLeftOut(client, migration.id, { ...uncarried, excluded: plan.news });
    await createBatch(client, migration, work, limits);
  });
}

function refuseImpossible(plan: FilteredArchive): void {
  if (plan.impossible.length === 0) return;
  const more = plan.impossible.length - SHOWN;
  throw new MigrationError(
    'SchemaFailed',
    `the selection cannot be created: ${plan.impossible.slice(0, SHOWN).join('; ')}${more > 0 ? ` and ${more} more` : ''}`,
  );
}

/** Takes over empty tables. */
async function useTables(lane: Lane, migration: Migration, source: SourceSchema): Promise<void> {
  // Not in the transaction: a role without the right to replica role gets an error as the answer.
  const loud = await loudStates(lane.client);
  const uncarried = await source.uncarried(false);
  await lane.transaction(async (client) => {
    const kind = { tablesCreated: false, archive: null };
    if (!(await register(client, migration, source, kind))) return;
    await useGiven(client, migration, source.relations, loud);
    await storeLeftOut(client, migration.id, { ...uncarried, excluded: [] });
  });
}

/** Tables that the operator made: their columns must fit, and what would fire while changes are applied is kept quiet. */
async function useGiven(
  client: pg.ClientBase,
  migration: Migration,
  relations: readonly Relation[],
  loud: readonly string[],
): Promise<void> {
  if (relations.length === 0) return;
  const there = await readRelationsNamed(client, destinationsOf(relations));
  const differences = compareColumns(relations, there);
  if (relations.some(({ viaRoot }) => viaRoot !== null)) {
    differences.push(...partitionsInTheWay(relations, there));
  }
  if (differences.length > 0) {
    throw new MigrationError(
      'SchemaDrift',
      `tables on the target do not fit the source: ${renderDifferences(differences)}`,
    );
  }
  const tables = relations.filter(({ kind }) => kind !== 'f');
  await quietTables(client, migration, destinationsOf(tables), loud);
}

/** Control schema and the migration's row; false when another attempt of this migration wrote them meanwhile. */
async function register(
  target: pg.ClientBase,
  migration: Migration,
  source: SourceSchema,
  stored: Pick<Registration, 'tablesCreated' | 'archive'>,
): Promise<boolean> {
  // Two attempts at once would trip over each other's "if not exists".
  await target.query(
    /* sql */ `select pg_advisory_xact_lock(hashtextextended('walferry schema', 0))`,
  );
  if ((await progressOf(target, migration)) !== 'absent') return false;
  await target.query(CREATE_CONTROL_SCHEMA);
  await target.query(CREATE_SCHEMA_CONTROL);
  await registerMigration(target, {
    migration,
    source: source.identity,
    sourceDatabase: source.database,
    ...stored,
  });
  await registerRelations(target, migration, source.relations);
  return true;
}

/** Further batches, for schemas that do not fit into one transaction. */
async function createRest(
  lane: Lane,
  migration: Migration,
  work: Work,
  limits: Limits,
): Promise<void> {
  try {
    while ((await lane.run((client) => progressOf(client, migration))) === 'begun') {
      await lane.transaction((client) => createBatch(client, migration, work, limits));
    }
  } catch (error) {
    if (error instanceof MigrationError && FAILURES[error.code].handling !== 'timed') {
      await undoSchema(migration, work.signal);
    }
    throw error;
  }
}

/** Runs the next statements, marks them, and marks the whole when they were the last. */
async function createBatch(
  client: pg.ClientBase,
  migration: Migration,
  work: Work,
  limits: Limits,
): Promise<void> {
  await client.query(
    /* sql */ `select pg_advisory_xact_lock(hashtextextended('walferry schema', 0))`,
  );
  const entries = await readEntries(client, migration.id, ['tables']);
  const waiting = entries.filter(({ done }) => !done);
  const batch = waiting.slice(0, limits.entriesPerTransaction ?? (await batchSize(client)));
  for (const [index, entry] of batch.entries()) {
    work.signal.throwIfAborted();
    try {
      await client.query(entry.sql);
    } catch (error) {
      work.signal.throwIfAborted();
      throw failed(error, {
        what: `${nameEntry(entry)} could not be created`,
        object: nameEntry(entry),
        code: 'SchemaFailed',
      });
    }
    if (index % BEAT_EVERY_ENTRIES === 0) {
      work.beat({
        step: 'creating tables',
        done: entries.length - waiting.length + index,
        total: entries.length,
      });
    }
  }
  await client.query(
    /* sql */ `update walferry.schema_entry set done_at = now() where migration = $1 and id = any($2)`,
    [migration.id, batch.map(({ id }) => id)],
  );
  if (batch.length === waiting.length) {
    await client.query(
      /* sql */ `update walferry.migration set tables_created = true where id = $1`,
      [migration.id],
    );
  }
}

/** Entries whose locks fit into the target's lock table, with half of it left to others. */
async function batchSize(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ locks: number }>(/* sql */ `
    select current_setting('max_locks_per_transaction')::int
         * (current_setting('max_connections')::int
            + current_setting('max_prepared_transactions')::int) as locks`);
  // Settings of hosted servers are at least the default 64 * 100; the floor only guards against nonsense.
  return Math.max(100, Math.floor((rows[0]?.locks ?? 6400) / LOCKS_PER_ENTRY));
}
