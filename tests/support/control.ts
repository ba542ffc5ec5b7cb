/** A registered migration between a fresh pair, and the `Work` that a test passes to a step. */
import { registerMigration } from '../../postgres/store/migration.ts';
import type { GuardInput, GuardReport } from '../../contract/guard.ts';
import { slotName } from '../../contract/slot-name.ts';
import { type Migration } from '../../contract/migration.ts';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { parseInput } from '../../contract/input.ts';
import { type MigrationInput } from '../../contract/input-schema.ts';
import type { CopyPlan, CopyResult } from '../../contract/work.ts';
import { readNewestSnapshot, type OwnedSnapshot } from '../../postgres/store/exported-snapshot.ts';
import { copyChunks } from '../../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../../postgres/snapshot/snapshot-owner.ts';
import { readIdentity } from '../../postgres/identity/identity.ts';
import type { FreshPair } from './database.ts';
import { until } from './until.ts';
import { registerWayBack } from '../../postgres/store/way-back.ts';
import { reverseOf } from '../../contract/reversed.ts';
import { createStore } from '../../postgres/store/upgrade.ts';

/** Creates the control schema on the target and registers a migration in it. */
export async function registered(db: FreshPair): Promise<Migration> {
  const migration = migrationOf(db);
  await createStore(db.targetClient, db.target);
  await registerMigration(db.targetClient, {
    migration,
    source: await readIdentity(db.sourceClient, db.source),
    sourceDatabase: db.source,
    tablesCreated: true,
    archive: null,
  });
  return migration;
}

/** Registers the way back of a migration on the old database. */
export async function withWayBack(db: FreshPair, migration: Migration): Promise<void> {
  await createStore(db.sourceClient, db.source);
  await registerWayBack(db.sourceClient, {
    reverse: reverseOf(migration),
    source: await readIdentity(db.targetClient, db.target),
    sourceDatabase: db.target,
    target: await readIdentity(db.sourceClient, db.source),
  });
}

/** A migration's names, unique for each pair. */
export function migrationOf(db: FreshPair): Migration {
  const id = `run-${db.source}`;
  return {
    id,
    workflowId: 'orders',
    source: db.source,
    target: db.target,
    slot: slotName('orders', id),
  };
}

/** One line of the log. */
export interface Logged {
  readonly level: 'info' | 'warn';
  readonly message: string;
  readonly fields: Parameters<Work['log']['info']>[1];
}

export interface RecordedWork extends Work {
  readonly beats: Heartbeat[];
  readonly warnings: string[];
  readonly logged: readonly Logged[];
  abort(reason?: Error): void;
}

/** Work that remembers what was reported. */
export function recordedWork(): RecordedWork {
  const controller = new AbortController();
  const beats: Heartbeat[] = [];
  const warnings: string[] = [];
  const logged: Logged[] = [];
  return {
    ...{ beats, warnings, logged },
    signal: controller.signal,
    beat: (details) => beats.push(details),
    log: {
      info: (message, fields) => void logged.push({ level: 'info', message, fields }),
      warn: (message, fields) => {
        warnings.push(message);
        logged.push({ level: 'warn', message, fields });
      },
    },
    abort: (reason = new Error('stopped by the test')) => controller.abort(reason),
  };
}

/** The input of a migration between the pair, complete with defaults. */
export function inputOf(db: FreshPair, more: Record<string, unknown> = {}): MigrationInput {
  const parsed = parseInput({ source: db.source, target: db.target, ...more });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

export interface Holding extends AsyncDisposable {
  readonly pass: OwnedSnapshot;
  /** What the snapshot owner ended with: undefined when it returned. */
  readonly ended: Promise<unknown>;
  /** By the snapshot owner, and by the guard that runs with it. */
  readonly logged: readonly Logged[];
  stop(): Promise<void>;
}

/**
 * Owns the next exported snapshot until the end of the scope, with a guard if one is given.
 * @param onReport for the guard's reports.
 */
export async function holding(
  db: FreshPair,
  migration: Migration,
  guard?: GuardInput,
  onReport: (report: GuardReport) => void = () => undefined,
): Promise<Holding> {
  const before = (await readNewestSnapshot(db.targetClient, migration))?.number ?? 0;
  const work = recordedWork();
  const reporting: Work = { ...work, tell: (report) => Promise.resolve(onReport(report)) };
  const ended = holdSnapshot(migration, reporting, guard).then(
    () => undefined,
    (error: unknown) => error,
  );
  const pass = await until('the next exported snapshot', async () => {
    const newest = await readNewestSnapshot(db.targetClient, migration);
    return newest !== null && newest.number > before ? newest : null;
  });
  const stop = async () => {
    work.abort();
    await ended;
  };
  return { pass, ended, logged: work.logged, stop, [Symbol.asyncDispose]: stop };
}

/** Copies the runs of a plan, some at a time. */
export async function copyAll(migration: Migration, plan: CopyPlan): Promise<CopyResult[]> {
  const waiting = [...plan.runs];
  const results: CopyResult[] = [];
  const stream = async () => {
    for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
      results.push(await copyChunks(migration, { pass: plan.pass, run }, recordedWork()));
    }
  };
  await Promise.all(Array.from({ length: plan.parallelism }, stream));
  return results;
}
