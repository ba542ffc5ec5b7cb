/**
 * Copies one run of chunks, on any worker: one session per side, one transaction per chunk. Chunks that an earlier attempt
 * finished are recognised by their marks; the others are restarted.
 */
import { hostname } from 'node:os';
import type { CopyFormat } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CopyResult, CopyRun, Work } from '../../contract/work.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { mistakesIntervals, readMajors } from '../catalog/version-form.ts';
import { nameOf } from '../catalog/table-name.ts';
import { Defaults } from '../connection/defaults.ts';
import { classify } from '../connection/failure.ts';
import { Planning } from '../session/planning.ts';
import { readChunks, type ChunkRow } from '../store/chunk.ts';
import { readSnapshots } from '../store/exported-snapshot.ts';
import { requireMigration } from '../store/migration.ts';
import { countSpoiled, readDestinations } from '../store/planned-relation.ts';
import { readTableStates } from '../store/table-report.ts';
import { cut } from '../connection/connect.ts';
import { firingStates } from '../schema/enabled-trigger.ts';
import { disableEnabledTriggers } from '../schema/disable-found-trigger.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { ThrottledRun } from '../throttle/throttled-run.ts';
import { copyChunk, type ChunkWork } from './copy-chunk.ts';
import { holdAt } from './test-hold.ts';
import { snapshotLost } from './imported.ts';
import { Progress } from './copy-heartbeat.ts';
import { takeReplicaRole } from '../session/replica-role.ts';
import type { ChunkTable } from './table-lock.ts';

/** A run, its pass and its COPY format. */
export interface RunOfPass {
  readonly pass: number;
  readonly run: CopyRun;
  /** Unset: `auto`. */
  readonly format?: CopyFormat;
}

/**
 * Copies the unfinished chunks of a run. Idempotent.
 * @throws MigrationError `SnapshotLost` when the pass is over, `CopyFailed` naming table and SQLSTATE, `Unreachable`,
 *   `Contention`, `Denied`, `CheckpointMissing`; `signal.reason` when aborted, with both connections closed.
 */
export async function copyChunks(
  migration: Migration,
  run: RunOfPass,
  work: Work,
): Promise<CopyResult> {
  try {
    return await copyRun(migration, run, work);
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: `copying ${run.run.label}` }, 'CopyFailed');
  }
}

async function copyRun(
  migration: Migration,
  { pass, run, format = 'auto' }: RunOfPass,
  work: Work,
): Promise<CopyResult> {
  const { signal } = work;
  await using target = await connectTarget(migration, 'copy', { signal });
  await using source = await connectSource(migration, 'copy', { signal, target });
  try {
    await requireMigration(target, migration);
    const snapshots = await readSnapshots(target, migration);
    const newest = snapshots.at(-1);
    if (newest?.number !== pass) throw snapshotLost(pass);
    const replicaRole = await takeReplicaRole(target);
    if (!replicaRole) {
      work.log.warn('the role may not set session_replication_role on the target', {
        target: migration.target,
      });
    }
    const progress = new Progress(work);
    const planned = await chunksOf(run, migration, target);
    const destinations = planned.flatMap(({ tables }) => tables.map((one) => one.destination));
    await disableEnabledTriggers(target, migration, destinations, {
      ...work,
      replicaRole,
      purpose: 'copy',
    });
    await holdAt('before-chunks', target, () => {
      work.signal.throwIfAborted();
      work.beat({ step: 'held by a test' });
    });
    const held = (reason: string) => progress.held(reason);
    await using throttled = await ThrottledRun.join(migration, pass, target, { work, held });
    const result = await copyAll(planned, progress, throttled, {
      migration,
      snapshot: newest,
      source,
      target,
      format,
      planning: new Planning(migration.source, 'copy'),
      defaults: await Defaults.read(migration.target, 'copy', target),
      enabled: firingStates(replicaRole),
      mistakesIntervals: mistakesIntervals(await readMajors(source, target)),
      worker: `${hostname()}:${process.pid}`,
      moved: (table, bytes) => {
        progress.moved(nameOf(table), bytes);
        return throttled.passed(bytes);
      },
      waiting: (table) => {
        work.signal.throwIfAborted();
        progress.waiting(nameOf(table));
      },
      rewritten: (table) =>
        work.log.warn('a table was rewritten after the snapshot: the next pass copies it', {
          table: nameOf(table),
          pass,
        }),
    });
    const ids = planned.flatMap(({ tables }) => tables.map(({ id }) => id));
    return {
      ...result,
      // Read from the tables' states: an earlier attempt may have marked them.
      rewritten: await countSpoiled(target, migration, ids, pass),
      states: await readTableStates(target, migration),
    };
  } finally {
    // A failed COPY leaves both sessions in the middle of it: they can only be cut.
    cut(source);
    cut(target);
  }
}

interface PlannedChunk {
  readonly chunk: ChunkRow;
  readonly tables: readonly ChunkTable[];
}

async function chunksOf(
  run: CopyRun,
  migration: Migration,
  target: ChunkWork['target'],
): Promise<PlannedChunk[]> {
  const chunks = await readChunks(target, migration, {
    first: run.firstChunk,
    last: run.lastChunk,
  });
  const relations = await readDestinations(
    target,
    migration,
    chunks.flatMap((chunk) => chunk.relations),
  );
  const tables = new Map(
    relations.map((row): [number, ChunkTable] => {
      const { id, schema, name } = row;
      return [id, { id, schema, name, destination: destinationOf(row) }];
    }),
  );
  return chunks.map((chunk) => ({
    chunk,
    tables: chunk.relations.flatMap((id) => tables.get(id) ?? []),
  }));
}

async function copyAll(
  chunks: readonly PlannedChunk[],
  progress: Progress,
  throttled: ThrottledRun,
  work: ChunkWork,
): Promise<CopyResult> {
  let copied = 0;
  let skipped = 0;
  for (const { chunk, tables } of chunks) {
    // The run's range may contain finished chunks of earlier passes.
    if (chunk.done) {
      skipped += 1;
      continue;
    }
    await throttled.ready();
    progress.begin(chunk.id);
    const result = await copyChunk(chunk, tables, work);
    if (result === null) {
      skipped += 1;
      continue;
    }
    copied += 1;
    progress.finish(result.rows);
  }
  const { rows, bytes } = progress;
  return { chunks: copied, skipped, rows, bytes };
}
