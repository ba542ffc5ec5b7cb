/**
 * A migration at the point where streaming begins, created without the copy's code: tables on both sides, the slot,
 * the control schema, and one exported snapshot at the slot's consistent point. No one writes during its creation.
 */
import { readPlannedRelations } from '../../postgres/store/planned-relation.ts';
import { registerRelations } from '../../postgres/store/table-move.ts';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import { slotName } from '../../contract/slot-name.ts';
import { type Migration } from '../../contract/migration.ts';
import type { Heartbeat, StreamReport, Work } from '../../contract/work.ts';
import type { Relation } from '../../postgres/catalog/relation.ts';
import { readRelations, readRelationsNamed } from '../../postgres/catalog/read-relations.ts';
import { destinationOf, destinationsOf } from '../../postgres/catalog/row-destination.ts';
import type { Selection, TableName } from '../../postgres/catalog/selection.ts';
import { readSchemaRows } from '../../postgres/catalog/schema-row.ts';
import { readDefinitions } from '../../postgres/catalog/table-definition.ts';
import { readTypeGraph } from '../../postgres/catalog/type-graph.ts';
import { TypePairs } from '../../postgres/catalog/type-pair.ts';
import { recordTypes } from '../../postgres/catalog/type-record.ts';
import { recordSnapshot } from '../../postgres/store/exported-snapshot.ts';
import {
  numbersOf,
  storeDefinitions,
  type PlannedDefinition,
} from '../../postgres/store/planned-definition.ts';
import { writeEndMark } from '../../postgres/stream/end-mark.ts';
import { recordSchemas } from '../../postgres/store/recorded-schema.ts';
import { registerSide } from '../../postgres/store/side.ts';
import { readIdentity } from '../../postgres/identity/identity.ts';
import { parseSnapshot } from '../../postgres/catalog/visibility.ts';
import type { StreamOptions } from '../../postgres/stream/stream-options.ts';
import { streamChanges } from './lease.ts';
import { connectTo, type FreshPair } from './database.ts';
import { expectEqual } from './equality.ts';
import { until } from './until.ts';
import { createStore } from '../../postgres/store/upgrade.ts';

export const EVERYTHING = { include: ['*.*'], exclude: [] };

/** Options with a lease that a test never waits for. */
export const OPTIONS: StreamOptions = {
  floor: null,
  until: null,
  leaseMs: 60_000,
  batchChanges: 500,
  batchMilliseconds: 50,
  ...EVERYTHING,
};

/**
 * Runs `ddl` on both sides (or `onTarget` on the target), and copies all rows as of the slot's consistent point.
 */
export async function startMigration(
  db: FreshPair,
  ddl: string,
  selection: Selection = EVERYTHING,
  onTarget = ddl,
): Promise<Migration> {
  await db.sourceClient.query(ddl);
  await db.targetClient.query(onTarget);
  const workflowId = db.source;
  const id = randomBytes(8).toString('hex');
  const migration: Migration = {
    id,
    workflowId,
    source: db.source,
    target: db.target,
    slot: slotName(workflowId, id),
  };
  const slot = await db.sourceClient.query<{ lsn: string }>(
    /* sql */ `select lsn::text from pg_create_logical_replication_slot($1, 'wal2json')`,
    [migration.slot],
  );
  const consistent = slot.rows[0]?.lsn;
  const barrier = await db.sourceClient.query<{ barrier: string }>(
    /* sql */ `select pg_current_xact_id()::text as barrier`,
  );
  await createStore(db.targetClient, db.target);
  await db.targetClient.query(
    /* sql */ `insert into walferry.migration
      (id, workflow_id, slot, source_system, source_database, consistent_lsn, confirmed_lsn, commit_lsn, barrier)
      values ($1, $2, $3, 'test', $4, $5, $5, $5, $6)`,
    [id, workflowId, migration.slot, db.source, consistent, barrier.rows[0]?.barrier],
  );
  const source = await readIdentity(db.sourceClient, db.source);
  await registerSide(db.targetClient, migration, 'source', source);
  const target = await readIdentity(db.targetClient, db.target);
  await registerSide(db.targetClient, migration, 'target', target);
  const relations = await readRelations(db.sourceClient, selection);
  const quoted = ({ schema, name }: TableName) =>
    `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
  for (const relation of relations) {
    if (relation.kind !== 'r') continue;
    await copyTable(db, quoted(relation), relation.viaRoot && quoted(relation.viaRoot));
  }
  await registerRelations(db.targetClient, migration, relations);
  await addSnapshot(db, migration);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'catching-up', pass = 1 where kind = 'r'`,
  );
  await recordDefinitions(db, migration, relations);
  await recordSchemas(db.targetClient, migration, await readSchemaRows(db.sourceClient));
  return migration;
}

/** What the copy records about the tables' columns. */
async function recordDefinitions(
  db: FreshPair,
  migration: Migration,
  relations: readonly Relation[],
): Promise<void> {
  const definitions = await readDefinitions(
    db.sourceClient,
    relations.map(({ oid }) => oid),
  );
  const there = await readRelationsNamed(db.targetClient, destinationsOf(relations));
  const types = new TypePairs(
    await readTypeGraph(db.sourceClient, relations),
    await readTypeGraph(db.targetClient, there),
  );
  const noted = new Map<number, PlannedDefinition>();
  for (const row of await readPlannedRelations(db.targetClient, migration)) {
    const { id, oid } = row;
    const { schema, name } = destinationOf(row);
    const source = definitions.get(oid);
    const target = there.find((one) => one.schema === schema && one.name === name);
    const relation = relations.find((one) => one.oid === oid);
    if (!source || !target || !relation) continue;
    const recorded = recordTypes(types.columns(relation, target), types);
    const { key } = relation;
    noted.set(id, { source, key, target: numbersOf(target), types: recorded });
  }
  await storeDefinitions(db.targetClient, migration, noted);
}

/** Records what the source shows now as an exported snapshot. */
export async function addSnapshot(db: FreshPair, migration: Migration): Promise<Lsn> {
  const { rows } = await db.sourceClient.query<{ snapshot: string; lsn: string }>(
    /* sql */ `select pg_current_snapshot()::text as snapshot, pg_current_wal_insert_lsn()::text as lsn`,
  );
  const row = rows[0];
  if (!row) throw new Error('no snapshot');
  const lsn = parseLsn(row.lsn);
  const owner = { pid: 0, started: '2000-01-01 00:00:00+00' };
  await recordSnapshot(db.targetClient, migration, {
    ...parseSnapshot(row.snapshot),
    snapshot: 'test',
    lsn,
    owner,
    mark: null,
  });
  return lsn;
}

/** Programs are slow to start: most test tables are empty and need none. */
async function copyTable(db: FreshPair, table: string, root: string | null): Promise<void> {
  if (root === null) {
    await db.targetClient.query(
      `begin; set local session_replication_role = replica; delete from only ${table}; commit`,
    );
  }
  const { rows: some } = await db.sourceClient.query(`select from only ${table} limit 1`);
  if (some.length === 0) return;
  const { rows: found } = await db.sourceClient.query<{ list: string }>(
    /* sql */ `select coalesce(string_agg(quote_ident(attname), ',' order by attnum), '') as list
      from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
    [table],
  );
  const list = found[0]?.list ?? '';
  if (list === '') return;
  const rows = psql(db.source, `copy (select ${list} from only ${table}) to stdout`);
  execFileSync(
    'psql',
    [`service=${db.target}`, '-qAt', '-c', `copy ${root ?? table} (${list}) from stdin`],
    {
      input: rows,
    },
  );
}

function psql(service: string, sql: string): string {
  return execFileSync('psql', [`service=${service}`, '-qAtX', '-v', 'ON_ERROR_STOP=1', '-c', sql], {
    maxBuffer: 1 << 28,
  }).toString();
}

export interface TestWork extends Work {
  readonly beats: Heartbeat[];
  readonly warnings: string[];
  abort(): void;
}

/** A caller that records everything. */
export function testWork(): TestWork {
  const controller = new AbortController();
  const beats: Heartbeat[] = [];
  const warnings: string[] = [];
  return {
    signal: controller.signal,
    beat: (details) => beats.push(details),
    log: { info: () => undefined, warn: (message) => warnings.push(message) },
    beats,
    warnings,
    abort: () => controller.abort(new Error('stopped by the test')),
  };
}

/** A position such that draining to it covers everything that committed before the call. */
export async function endMark(db: FreshPair): Promise<Lsn> {
  const { rows } = await db.sourceClient.query<{ lsn: string }>(
    /* sql */ `select pg_logical_emit_message(true, 'walferry', 'end')::text as lsn`,
  );
  return parseLsn(rows[0]?.lsn ?? '');
}

/** Streams until everything that was committed on the source is on the target, for as many leases as that takes. */
export async function drain(
  db: FreshPair,
  migration: Migration,
  options: Partial<StreamOptions> = {},
  work: Work = testWork(),
): Promise<StreamReport> {
  const until = await endMark(db);
  for (;;) {
    const report = await streamChanges(migration, { ...OPTIONS, ...options, until }, work);
    if (report.reached) return report;
  }
}

/** Writes the end mark of a cutover and applies everything before it. */
export async function marked(
  migration: Migration,
  options: Partial<StreamOptions> = {},
): Promise<Lsn> {
  const until = await writeEndMark(migration);
  for (;;) {
    const report = await streamChanges(migration, { ...OPTIONS, ...options, until }, testWork());
    if (report.reached) return until;
  }
}

/** Compares over separate sessions: the comparison changes settings. */
export async function expectSame(db: FreshPair): Promise<void> {
  await using source = await connectTo(db.source);
  await using target = await connectTo(db.target);
  await expectEqual(source, target);
}

export interface SlotState {
  readonly confirmed: Lsn;
  readonly active: number | null;
}

export async function slotState(db: FreshPair, migration: Migration): Promise<SlotState> {
  const { rows } = await db.sourceClient.query<{ confirmed: string; active: number | null }>(
    /* sql */ `select confirmed_flush_lsn::text as confirmed, active_pid as active
                 from pg_replication_slots where slot_name = $1`,
    [migration.slot],
  );
  const row = rows[0];
  if (!row) throw new Error('the slot is gone');
  return { confirmed: parseLsn(row.confirmed), active: row.active };
}

export async function storedLsn(db: FreshPair, migration: Migration): Promise<Lsn> {
  const { rows } = await db.targetClient.query<{ lsn: string }>(
    /* sql */ `select confirmed_lsn::text as lsn from walferry.migration where id = $1`,
    [migration.id],
  );
  return parseLsn(rows[0]?.lsn ?? '');
}

/**
 * Waits for the stream itself. An active slot alone is not enough: the lease's probe of the plugin uses the slot in
 * an ordinary session before the catalogs are read, and DDL in between is met at the start of the lease instead of in
 * its middle.
 */
export async function untilStreaming(db: FreshPair, migration: Migration): Promise<void> {
  await until('the stream', async () => {
    const { rowCount } = await db.sourceClient.query(
      /* sql */ `select from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid
                  where s.slot_name = $1`,
      [migration.slot],
    );
    return rowCount === 1;
  });
}
