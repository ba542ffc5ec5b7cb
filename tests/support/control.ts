/** A registered migration between a fresh pair, and the `Work` that a test hands to a step. */
import { CREATE_CONTROL_SCHEMA } from '../../postgres/control/schema.ts';
import { registerMigration } from '../../postgres/control/migration.ts';
import { slotName, type Migration } from '../../contract/migration.ts';
import type { Heartbeat, Work } from '../../contract/work.ts';
import type { FreshPair } from './database.ts';

/** Creates the control schema on the target and registers a migration in it. */
export async function registered(db: FreshPair): Promise<Migration> {
  const migration = migrationOf(db);
  await db.targetClient.query(CREATE_CONTROL_SCHEMA);
  await registerMigration(db.targetClient, {
    migration,
    sourceSystem: '1',
    sourceDatabase: db.source,
    tablesCreated: true,
    archive: null,
  });
  return migration;
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

export interface RecordedWork extends Work {
  readonly beats: Heartbeat[];
  readonly warnings: string[];
  abort(reason?: Error): void;
}

/** Work that remembers what was reported. */
export function recordedWork(): RecordedWork {
  const controller = new AbortController();
  const beats: Heartbeat[] = [];
  const warnings: string[] = [];
  return {
    beats,
    warnings,
    signal: controller.signal,
    beat: (details) => beats.push(details),
    log: { info: () => undefined, warn: (message) => warnings.push(message) },
    abort: (reason = new Error('stopped by the test')) => controller.abort(reason),
  };
}
