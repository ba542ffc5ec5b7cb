/**
 * Copies one chunk: its rows and its mark in one transaction on the target, read under the exported snapshot. The transaction
 * starts by locking the chunk's row if it still belongs to this pass: reading its state and fencing all others is one step.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { CopyFormat } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { quoted } from '../catalog/table-name.ts';
import type { Defaults } from '../connection/defaults.ts';
import { setFor, type Settings } from '../connection/apply-settings.ts';
import type { Planning } from '../session/planning.ts';
import { lockChunk, markChunk, type ChunkRow } from '../store/chunk.ts';
import type { OwnedSnapshot } from '../store/exported-snapshot.ts';
import { sharesBinaryForm } from './binary.ts';
import { beginClaiming } from './claim.ts';
import { refuseExtremeIntervals } from './interval-refusal.ts';
import { readEnabledTriggers } from '../schema/enabled-trigger.ts';
import type { EnabledTrigger } from '../store/disabled-trigger.ts';
import { readCopying } from '../store/planned-relation.ts';
import { markForResync } from '../store/table-move.ts';
import { beginUnder, snapshotLost } from './imported.ts';
import { pipeTable, type Copied } from './pipe.ts';
import { lockTables, type ChunkTable } from './table-lock.ts';

export interface ChunkWork {
  readonly migration: Migration;
  readonly snapshot: OwnedSnapshot;
  readonly source: pg.Client;
  readonly target: pg.Client;
  /** Of the source's tables. */
  readonly planning: Planning;
  /** Settings under which the target evaluates expressions. */
  readonly defaults: Defaults;
  /** States in which a trigger of the target fires for copied rows. */
  readonly enabled: readonly string[];
  readonly format: CopyFormat;
  /** Whether the target would read some intervals of the source as infinite. */
  readonly mistakesIntervals: boolean;
  /** Recorded with the mark: host name and process id. */
  readonly worker: string;
  /** Called with bytes of a table just copied. Null: continue; otherwise wait for the promise. */
  readonly moved: (table: ChunkTable, bytes: number) => Promise<void> | null;
  /** Called after each failed try to lock a table; throws to give up. */
  readonly waiting: (table: ChunkTable) => void;
  /** Called for a table that was rewritten or changed since the snapshot. */
  readonly rewritten: (table: ChunkTable) => void;
}

/**
 * Copies a chunk unless an earlier attempt has finished it. Skips tables rewritten since the snapshot and marks them for a
 * resync.
 * @returns null if there was nothing to do. After an error the sessions are unusable.
 * @throws MigrationError `SnapshotLost`, and what {@link pipeTable} throws.
 */
export async function copyChunk(
  chunk: ChunkRow,
  tables: readonly ChunkTable[],
  work: ChunkWork,
): Promise<Copied | null> {
  const { migration, snapshot, source, target } = work;
  await beginClaiming(target, migration, chunk.id);
  const wanted = await lock(chunk, tables, work);
  if (wanted === 'done' || wanted.length === 0) {
    await target.query(/* sql */ `rollback`);
    return null;
  }
  await beginUnder(source, snapshot);
  // For a bundle of small tables, reading their types costs more than binary saves.
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
    // Generated columns, checks and indexes must be evaluated as in the application's sessions.
    const settings = await defaults.forTable(target, quoted(table.destination));
    if (settings !== given) await setFor('transaction', target, settings);
    given = settings;
    const binary =
      mayBeBinary &&
      (await sharesBinaryForm(target, table.destination, table.columns, table.forms));
    // Preflight refuses such tables by the source's columns; the target's may have changed since.
    if (work.format === 'binary' && !binary) throw withoutBinaryForm(table);
    if (work.mistakesIntervals) await refuseExtremeIntervals(source, table, chunk);
    const progress = (n: number) => work.moved(table, n);
    const how = { range: chunk, planning, binary, progress };
    const copied = await pipeTable(source, target, table, how);
    rows += copied.rows;
    bytes += copied.bytes;
  }
  await source.query(/* sql */ `commit`);
  // From here on the table lock of the copied rows prevents CREATE TRIGGER.
  const [fired] = await readEnabledTriggers(
    target,
    checked.map(({ destination }) => destination),
    work.enabled,
  );
  if (fired) throw firedFor(fired);
  const marked = await markChunk(target, migration, chunk, { rows, bytes, worker: work.worker });
  if (!marked) throw snapshotLost(snapshot.number);
  await target.query(/* sql */ `commit`);
  return { rows, bytes };
}

/** Locks the chunk. @returns its tables that can be copied: those not marked for a resync. */
async function lock(
  chunk: ChunkRow,
  tables: readonly ChunkTable[],
  { migration, snapshot, target }: ChunkWork,
): Promise<readonly ChunkTable[] | 'done'> {
  const locked = await lockChunk(target, migration, chunk.id, snapshot.number);
  if (locked === null) throw snapshotLost(snapshot.number);
  if (locked === 'done') return 'done';
  // A new statement after the lock, so that it sees marks of the attempt that had the lock.
  const ids = tables.map(({ id }) => id);
  const copying = await readCopying(target, migration, ids, snapshot.number);
  return tables.filter(({ id }) => copying.has(id));
}

const REWRITTEN = 'was truncated or rewritten on the source during its copy';

async function flagRewritten(table: ChunkTable, work: ChunkWork): Promise<void> {
  work.rewritten(table);
  await markForResync(work.target, work.migration, new Map([[table.id, REWRITTEN]]));
}

/** The transaction is rolled back; the next attempt disables the trigger first. */
function firedFor({
  kind,
  name,
  schema_name: schema,
  table_name: table,
}: EnabledTrigger): MigrationError {
  return new MigrationError(
    'Contention',
    `${kind} ${name} was created on the target's ${schema}.${table} while its rows were copied, and may have fired for them: the chunk is rolled back and retried`,
    { table: `${schema}.${table}` },
  );
}

function withoutBinaryForm({ schema, name }: ChunkTable): MigrationError {
  const table = `${schema}.${name}`;
  return new MigrationError(
    'CopyFailed',
    `table ${table} has a column without a binary form that both servers share, and "copy": {"format": "binary"} does not allow text: use "auto"`,
    { table },
  );
}
