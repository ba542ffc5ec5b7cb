/**
 * One chunk: its rows and its mark in one transaction of the target, read under the generation's snapshot. The transaction begins
 * by locking the chunk where it is still this generation's and not done: reading that and fencing everybody else is one step.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { CopyFormat } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import { quoted } from '../catalog/table-name.ts';
import { setFor, type Defaults, type Settings } from '../connection/defaults.ts';
import type { Planning } from '../connection/planning.ts';
import { markChunk, type ChunkRow } from '../control/chunk.ts';
import type { OwnedSnapshot } from '../control/exported-snapshot.ts';
import { sharesBinaryForm } from './binary.ts';
import { beginClaiming } from './claim.ts';
import { refuseExtremes } from './extreme.ts';
import { readEnabledTriggers } from '../schema/enabled-trigger.ts';
import type { EnabledTrigger } from '../schema/disabled-trigger.ts';
import { beginUnder, snapshotLost } from './imported.ts';
import { pipeTable, type Copied } from './pipe.ts';
import { lockTables, type ChunkTable } from './tables.ts';

export interface ChunkWork {
  readonly migration: Migration;
  readonly pass: OwnedSnapshot;
  readonly source: pg.Client;
  readonly target: pg.Client;
  /** Of the source's tables. */
  readonly planning: Planning;
  /** What the target evaluates expressions under. */
  readonly defaults: Defaults;
  /** States of a trigger of the target in which it fires for copied rows. */
  readonly enabled: readonly string[];
  readonly format: CopyFormat;
  /** Whether the target would take some intervals of the source for infinite. */
  readonly mistakesIntervals: boolean;
  /** Recorded with the mark: host name and process id. */
  readonly worker: string;
  /** Bytes of a table that passed just now. Null: read on; else when to. */
  readonly moved: (table: ChunkTable, bytes: number) => Promise<void> | null;
  /** A look at a lock that somebody holds; throws to give up. */
  readonly waiting: (table: ChunkTable) => void;
  /** A table that the snapshot does not see as it is. */
  readonly rewritten: (table: ChunkTable) => void;
}

/**
 * Copies a chunk, or sees that an earlier attempt has done it. Tables that were rewritten since the snapshot are flagged for the
 * next round and left out.
 * @returns null when there was nothing to do. After an error the sessions are unusable.
 * @throws MigrationError `SnapshotLost`, and what {@link pipeTable} throws.
 */
export async function copyChunk(
  chunk: ChunkRow,
  tables: readonly ChunkTable[],
  work: ChunkWork,
): Promise<Copied | null> {
  const { migration, pass, source, target } = work;
  await beginClaiming(target, migration, chunk.id);
  const wanted = await lockChunk(chunk, tables, work);
  if (wanted === 'done' || wanted.length === 0) {
    await target.query(/* sql */ `rollback`);
    return null;
  }
  await beginUnder(source, pass);
  // A bundle of small tables would spend more on looking at their types than it saves.
  const mayBeBinary = work.format === 'binary' || (work.format === 'auto' && wanted.length === 1);
  const checked = await lockTables(source, wanted, work.waiting, mayBeBinary);
  let rows = 0;
  let bytes = 0;
  let given: Settings | null = null;
  for (const table of checked) {
    if (!table.same) {
      await flagRewritten(table, work);
      continue;
    }
    const { planning, defaults } = work;
    // Generated columns, checks and indexes are computed as in the application's sessions.
    const settings = await defaults.forTable(target, quoted(table.destination));
    if (settings !== given) await setFor('transaction', target, settings);
    given = settings;
    const binary =
      mayBeBinary &&
      (await sharesBinaryForm(target, table.destination, table.columns, table.forms));
    // Preflight refuses such a table, as far as the source's columns tell; those of the target may have changed since.
    if (work.format === 'binary' && !binary) throw withoutBinaryForm(table);
    if (work.mistakesIntervals) await refuseExtremes(source, table, chunk);
    const progress = (n: number) => work.moved(table, n);
    const how = { range: chunk, planning, binary, progress };
    const copied = await pipeTable(source, target, table, how);
    rows += copied.rows;
    bytes += copied.bytes;
  }
  await source.query(/* sql */ `commit`);
  // The rows' lock keeps others from making one from here on.
  const [fired] = await readEnabledTriggers(
    target,
    checked.map(({ destination }) => destination),
    work.enabled,
  );
  if (fired) throw firedFor(fired);
  const marked = await markChunk(target, migration, chunk, { rows, bytes, worker: work.worker });
  if (!marked) throw snapshotLost(pass.number);
  await target.query(/* sql */ `commit`);
  return { rows, bytes };
}

/** Locks the chunk. @returns the tables of it that can be copied: not those that met a rewrite before. */
async function lockChunk(
  chunk: ChunkRow,
  tables: readonly ChunkTable[],
  { migration, pass, target }: ChunkWork,
): Promise<readonly ChunkTable[] | 'done'> {
  const { rows } = await target.query<{ done: boolean }>(
    /* sql */ `
    select done_at is not null as done from walferry.chunk
     where migration = $1 and id = $2 and pass = $3 for update`,
    [migration.id, chunk.id, pass.number],
  );
  const row = rows[0];
  if (!row) throw snapshotLost(pass.number);
  if (row.done) return 'done';
  // Behind the lock, with a snapshot of its own: a flag of the attempt that had the lock is seen.
  const usable = await target.query<{ id: number }>(
    /* sql */ `
    select id from walferry.relation
     where migration = $1 and id = any($2) and pass = $3 and not rewritten`,
    [migration.id, tables.map(({ id }) => id), pass.number],
  );
  const ids = new Set(usable.rows.map(({ id }) => id));
  return tables.filter(({ id }) => ids.has(id));
}

async function flagRewritten(table: ChunkTable, work: ChunkWork): Promise<void> {
  work.rewritten(table);
  await work.target.query(
    /* sql */ `
    update walferry.relation set rewritten = true
     where migration = $1 and id = $2 and pass = $3`,
    [work.migration.id, table.id, work.pass.number],
  );
}

/** Nothing of it stays; the next attempt disables it first. */
function firedFor({
  kind,
  name,
  schema_name: schema,
  table_name: table,
}: EnabledTrigger): MigrationError {
  return new MigrationError(
    'Contention',
    `${kind} ${name} was made on ${schema}.${table} of the target while its rows were copied, and may have fired for them: they are copied again`,
    { table: `${schema}.${table}` },
  );
}

function withoutBinaryForm({ schema, name }: ChunkTable): MigrationError {
  const table = `${schema}.${name}`;
  return new MigrationError(
    'CopyFailed',
    `table ${table} has a column without a binary form that both servers share, and "copy": {"format": "binary"} allows no text: use "auto"`,
    { table },
  );
}
