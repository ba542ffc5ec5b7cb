/**
 * Creates the target's tables before the rows: control schema, the migration's row and all pre-data, normally in one
 * transaction, so that an error leaves nothing behind and a retry finds all or nothing. A schema whose locks do not fit
 * into the target's lock table is created in several transactions: marks tell a retry where to continue, and an error that
 * a person has to fix undoes what was created.
 */
import type pg from 'pg';
import { FAILURES, MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { LeftOut, SchemaReport, Work } from '../../contract/work.ts';
import { lockCapacity, within } from '../catalog/capacity.ts';
import {
  compareColumns,
  partitionsInTheWay,
  renderDifferences,
} from '../catalog/column-difference.ts';
import { readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationsOf } from '../catalog/root.ts';
import { registerMigration, type Registration } from '../store/migration.ts';
import { registerRelations } from '../store/table-move.ts';
import { CREATE_CONTROL_SCHEMA } from '../store/control-schema.ts';
import {
  CREATE_SCHEMA_CONTROL,
  countEntries,
  hasSchemaControl,
  nameEntry,
  readWaiting,
  storeArchive,
  storeEntries,
  type StoredEntry,
} from '../store/archive-entry.ts';
import { nameCheck, storeChecks } from '../archive/deferred-check.ts';
import { findPresent, findTables, requireRoots } from './existing.ts';
import type { SchemaPhase } from '../archive/archive-filter.ts';
import { endEarlierSessions, StepSession } from '../session/step-session.ts';
import { keptRights } from '../archive/kept-right.ts';
import { grantEarly, grantOnPresent, readLateGrants } from './late-grant.ts';
import { readLeftOut, storeLeftOut } from '../archive/left-out.ts';
import {
  aboutOthers,
  creations,
  findRefused,
  isEmptyComment,
  nameOther,
  runOther,
} from '../archive/others.ts';
import { OwnerRights } from '../archive/owner.ts';
import { planSchema } from '../dump/schema-plan.ts';
import { readEnabledOnPlanned } from './enabled-trigger.ts';
import { probeFiringStates, disableFound } from './disable-trigger.ts';
import { advised, refuseImpossible, withTriggers } from './impossible.ts';
import { runEntry } from './run-entry.ts';
import { SourceSchema } from '../dump/source-schema.ts';
import { failed, prepareSession } from '../session/ddl-failure.ts';
import { undoSchema } from './undo-schema.ts';
import { whileWatched } from '../session/liveness.ts';

/** Most locks that creating one table takes: the table, its TOAST table, the TOAST index, a sequence. */
const LOCKS_PER_ENTRY = 5;
/** For tests: treats a small schema like a large one. */
export interface Limits {
  readonly entriesPerTransaction?: number;
  /** Also splits the dump. */
  readonly tablesPerDump?: number;
}

const BEAT_EVERY_ENTRIES = 50;

/**
 * Creates the selected tables and what they need, or uses empty ones that exist. Idempotent.
 * @throws MigrationError `SchemaFailed` with object and SQLSTATE, `Denied`, `SchemaDrift`; the target is then unchanged.
 *   `signal.reason` when aborted.
 */
export async function copySchema(
  migration: Migration,
  input: MigrationInput,
  work: Work,
  limits: Limits = {},
): Promise<SchemaReport> {
  try {
    await using session = await StepSession.open(
      { side: 'target', migration, purpose: 'schema' },
      work.signal,
      { unregistered: 'yet' },
    );
    await endEarlierSessions(session.client, 'schema');
    await prepareSession(session.client);
    // Reading the target and storing the plan sends no heartbeats, and takes long for large schemas.
    return await whileWatched(
      { side: 'target', migration, purpose: 'schema', pids: [session.pid] },
      work,
      () => ({ step: 'copying the schema' }),
      () => create(session, migration, input, { work, limits }),
    );
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, { what: 'the schema could not be copied', code: 'SchemaFailed' });
  }
}

async function create(
  session: StepSession,
  migration: Migration,
  input: MigrationInput,
  { work, limits }: { work: Work; limits: Limits },
): Promise<SchemaReport> {
  try {
    if ((await session.run((client) => progressOf(client, migration))) === 'absent') {
      await begin(session, migration, input, work, limits);
    }
    await createRest(session, migration, work, limits);
    return await report(session.client, migration, input, work);
  } catch (error) {
    work.signal.throwIfAborted();
    throw await reasonOf(session, error);
  }
}

/** Queries the target, so call it before anything ends this session. A dead session adds nothing. */
async function reasonOf(session: StepSession, error: unknown): Promise<MigrationError> {
  const failure = failed(error, { what: 'the schema could not be copied', code: 'SchemaFailed' });
  if (failure.code !== 'SchemaFailed' || failure.details.sqlstate === undefined) return failure;
  return withTriggers(session, failure).catch(() => failure);
}

async function progressOf(
  target: pg.ClientBase,
  migration: Migration,
): Promise<'absent' | 'begun' | 'created' | 'used'> {
  if (!(await hasSchemaControl(target))) return 'absent';
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
  work: Work,
): Promise<SchemaReport> {
  const leftOut = await readLeftOut(target, migration.id);
  if ((await progressOf(target, migration)) === 'used') {
    await using source = await SourceSchema.open(migration, input, work);
    return {
      ...{ created: false, tables: source.tables.length, statements: 0 },
      later: { indexes: 0, constraints: 0 },
      ...leftOutOf(leftOut),
    };
  }
  const counts = await countEntries(target, migration.id);
  const total = (phase: SchemaPhase) => counts.get(phase)?.total ?? 0;
  return {
    created: true,
    tables: counts.get('tables')?.tables ?? 0,
    statements: total('tables'),
    later: { indexes: total('indexes'), constraints: total('constraints') },
    ...leftOutOf(leftOut),
  };
}

function leftOutOf(leftOut: LeftOut | undefined): Pick<SchemaReport, 'leftOut'> {
  return leftOut === undefined ? {} : { leftOut };
}

/** Reads the source, plans, and writes the control rows together with the first (normally the only) batch. */
async function begin(
  session: StepSession,
  migration: Migration,
  input: MigrationInput,
  work: Work,
  limits: Limits,
): Promise<void> {
  await using source = await SourceSchema.open(migration, input, work);
  const { own, rooted } = source;
  await session.run((client) => requireRoots(client, destinationsOf(rooted)));
  const state = await session.run((client) => findTables(client, own));
  if (state === 'empty') {
    await useTables(session, migration, source, work);
    return;
  }
  const { archives, populated, plan } = await planSchema(source, input, work, limits.tablesPerDump);
  const [first, ...further] = archives;
  refuseImpossible(plan);
  if (plan.leftOut.length > 0) {
    work.log.info('objects that depend on excluded tables are left out', {
      count: plan.leftOut.length,
      objects: plan.leftOut.slice(0, 100),
    });
  }
  const { left, schemaRights } = await source.uncarried(true, work);
  await session.transaction(async (client) => {
    const archive = first?.content ?? null;
    if (!(await register(client, migration, source, { tablesCreated: null, archive }))) return;
    for (const one of further) await storeArchive(client, migration.id, one);
    work.beat({ step: 'storing the schema', entries: plan.kept.length });
    await checkGiven(client, rooted);
    const present = await findPresent(client, plan.kept, plan.mayBeThere);
    const refused = await findRefused(client, plan.kept, present);
    await storeEntries(client, migration.id, plan.kept, {
      present: new Set([...present, ...refused.map(({ id }) => id)]),
      refresh: populated,
      stored: (entries) => work.beat({ step: 'storing the schema', entries }),
    });
    await storeChecks(client, migration.id, plan.kept.length, plan.checks);
    const rights = await keptRights(client, schemaRights, input);
    await storeLeftOut(client, migration.id, {
      ...left,
      never: [
        ...left.never,
        ...rights,
        ...refused.filter((one) => !isEmptyComment(one)).map(nameOther),
      ],
      excluded: plan.news,
      unvalidated: plan.checks.map(nameCheck),
    });
    await createBatch(client, migration, work, limits);
  });
}

/** Uses empty tables that exist. */
async function useTables(
  session: StepSession,
  migration: Migration,
  source: SourceSchema,
  work: Work,
): Promise<void> {
  const { left } = await source.uncarried(false, work);
  await session.transaction(async (client) => {
    const kind = { tablesCreated: false, archive: null };
    if (!(await register(client, migration, source, kind))) return;
    await checkGiven(client, source.relations);
    await storeLeftOut(client, migration.id, { ...left, excluded: [] });
  });
}

/** Checks that the columns of tables created by the operator match. */
async function checkGiven(client: pg.ClientBase, relations: readonly Relation[]): Promise<void> {
  if (relations.length === 0) return;
  const there = await readRelationsNamed(client, destinationsOf(relations));
  const differences = compareColumns(relations, there);
  if (relations.some(({ viaRoot }) => viaRoot !== null)) {
    differences.push(...partitionsInTheWay(relations, there));
  }
  if (differences.length > 0) {
    throw new MigrationError(
      'SchemaDrift',
      `tables on the target do not match the source: ${renderDifferences(differences)}`,
    );
  }
}

/**
 * Disables what would fire on the operator's tables while changes are applied. Tables that walferry creates have no
 * triggers or rules until the cutover. Runs after the registration, in batches: a retry continues with what is still enabled.
 */
async function disableGiven(session: StepSession, migration: Migration, work: Work): Promise<void> {
  await session.run(async (client) => {
    const states = await probeFiringStates(client);
    const enabled = await readEnabledOnPlanned(client, migration, states, 'given');
    await disableFound(client, migration, enabled, false, (triggers) => {
      work.signal.throwIfAborted();
      work.beat({ step: 'disabling triggers', triggers });
    });
  });
}

/** Creates the control schema and the migration's row; false when another attempt of this migration has done it. */
async function register(
  target: pg.ClientBase,
  migration: Migration,
  source: SourceSchema,
  stored: Pick<Registration, 'tablesCreated' | 'archive'>,
): Promise<boolean> {
  // "if not exists" is not safe between two concurrent attempts.
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

/** Creates further batches of a schema that does not fit into one transaction, and what the first batch leaves out. */
async function createRest(
  session: StepSession,
  migration: Migration,
  work: Work,
  limits: Limits,
): Promise<void> {
  try {
    while ((await session.run((client) => progressOf(client, migration))) === 'begun') {
      await session.transaction((client) => createBatch(client, migration, work, limits));
    }
    await disableGiven(session, migration, work);
  } catch (error) {
    work.signal.throwIfAborted();
    // Determine the reason first: the undo ends this session as that of an earlier attempt.
    const reason = await reasonOf(session, error);
    if (FAILURES[reason.code].handling !== 'timed') {
      await undoSchema(migration, work.signal).catch((why: unknown) => {
        // The workflow undoes the schema as well. Thrown here, this error would hide the reason and be retried instead.
        work.signal.throwIfAborted();
        const { code, message } = failed(why, { what: 'undo', code: 'SchemaFailed' });
        work.log.warn('the created schema objects could not be dropped', { code, text: message });
      });
    }
    throw reason;
  }
}

/** Runs and marks the next statements; after the last one, marks the whole schema. */
async function createBatch(
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
      work.beat({
        step: 'creating tables',
        done: done + index,
        total,
      });
    }
  }
  await rights.takeBack();
  await client.query(
    /* sql */ `update walferry.schema_entry set done_at = now() where migration = $1 and id = any($2)`,
    [migration.id, batch.flatMap(({ id }) => (late.has(id) ? [] : [id]))],
  );
  if (batch.length === waiting.length) {
    await client.query(
      /* sql */ `update walferry.migration set tables_created = true where id = $1`,
      [migration.id],
    );
  }
}

/** Objects of the batch's grants and comments that walferry creates. */
async function readObjects(
  client: pg.ClientBase,
  migration: Migration,
  batch: readonly StoredEntry[],
): Promise<Pick<StoredEntry, 'id' | 'kind'>[]> {
  const about = batch.filter(({ kind }) => kind === 'ACL' || kind === 'COMMENT');
  const { rows } = await client.query<Pick<StoredEntry, 'id' | 'kind'>>(
    /* sql */ `
    select id, kind from walferry.schema_entry
     where migration = $1 and phase = 'tables' and id = any($2::integer[])`,
    [migration.id, about.flatMap(({ depends }) => depends)],
  );
  return rows;
}

/** Number of entries whose locks fit into half of the target's lock table. */
export async function batchSize(client: pg.ClientBase): Promise<number> {
  return within(await lockCapacity(client), LOCKS_PER_ENTRY);
}
