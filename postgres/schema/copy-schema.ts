/**
 * Creates the target's tables before the rows: control schema, the migration's row and all pre-data, normally in one
 * transaction, so that an error leaves nothing behind and a retry finds all or nothing. A schema whose locks do not fit
 * into the target's lock table is created in several transactions: marks tell a retry where to continue, and an error that
 * a person has to fix undoes what was created.
 */
import { connectTarget } from '../session/open.ts';
import { createStore } from '../store/upgrade.ts';
import { storeLeftOut } from '../store/left-behind.ts';
import { storeChecks } from '../store/check-entry.ts';
import { storeEntries } from '../store/planned-entry.ts';
import { storeArchive } from '../store/archive-bytes.ts';
import { readTablesState } from '../store/tables-created.ts';
import type pg from 'pg';
import type { MigrationError } from '../../contract/failure.ts';
import { FAILURES } from '../../contract/failure-catalogue.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { SchemaReport, Work } from '../../contract/work.ts';
import { destinationsOf } from '../catalog/row-destination.ts';
import { registerMigration, type Registration } from '../store/migration.ts';
import { registerRelations } from '../store/table-move.ts';
import { nameCheck } from '../archive/deferred-check.ts';
import { findPresent, findTables, requireRoots } from './existing.ts';
import type { Session } from '../session/session.ts';
import { keptRights } from '../archive/kept-right.ts';
import { findRefused, isEmptyComment, nameOther } from '../archive/existing-object.ts';
import { planSchema } from '../dump/schema-plan.ts';
import { refuseUncreatable, withTriggers } from './schema-refusal.ts';
import { SourceSchema } from '../dump/source-schema.ts';
import { failed, prepareSession } from '../session/ddl-failure.ts';
import { undoSchema } from './undo-schema.ts';
import { whileWatched } from '../session/liveness.ts';
import { type Limits, createBatch } from './schema-batch.ts';
import { checkGiven, disableGiven } from './given-table.ts';
import { report } from './schema-report.ts';

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
    await using session = await connectTarget(migration, 'schema', {
      unregistered: 'yet',
      signal: work.signal,
    });
    await session.takeOver();
    await prepareSession(session);
    // Reading the target and storing the plan sends no heartbeats, and takes long for large schemas.
    return await whileWatched(
      [session],
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
  session: Session,
  migration: Migration,
  input: MigrationInput,
  { work, limits }: { work: Work; limits: Limits },
): Promise<SchemaReport> {
  try {
    if ((await session.run((client) => readTablesState(client, migration))) === 'absent') {
      await begin(session, migration, input, work, limits);
    }
    await createRest(session, migration, work, limits);
    return await report(session, migration, input, work);
  } catch (error) {
    work.signal.throwIfAborted();
    throw await reasonOf(session, error);
  }
}

/** Queries the target, so call it before anything ends this session. A dead session adds nothing. */
async function reasonOf(session: Session, error: unknown): Promise<MigrationError> {
  const failure = failed(error, { what: 'the schema could not be copied', code: 'SchemaFailed' });
  if (failure.code !== 'SchemaFailed' || failure.details.sqlstate === undefined) return failure;
  return withTriggers(session, failure).catch(() => failure);
}

/** Reads the source, plans, and writes the control rows together with the first (normally the only) batch. */
async function begin(
  session: Session,
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
  refuseUncreatable(plan);
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
  session: Session,
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
  if ((await readTablesState(target, migration)) !== 'absent') return false;
  await createStore(target, migration.target);
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
  session: Session,
  migration: Migration,
  work: Work,
  limits: Limits,
): Promise<void> {
  try {
    while ((await session.run((client) => readTablesState(client, migration))) === 'begun') {
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
