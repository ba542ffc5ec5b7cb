/**
 * The demo's environment: servers up, leftovers of earlier runs removed, and everything stopped at the end. Works right after a
 * crash of an earlier run too: its processes and objects are removed first, because the databases are recreated.
 */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { endBackground } from '../cluster/background.ts';
import { localCluster } from '../cluster/local.ts';
import type { LocalCluster } from '../cluster/local.ts';
import type { PostgresServer } from '../cluster/postgres-server.ts';
import { DATABASE } from '../cluster/settings.ts';
import { setUp } from '../setup/set-up.ts';
import { connectTemporal } from '../../watch/temporal-client.ts';

export interface Stage {
  readonly cluster: LocalCluster;
  /** Folder of the demo's own files: input, ledger. */
  readonly folder: string;
}

/** What the application notes. Every writer of the demo appends to it. */
export const ledgerOf = ({ folder }: Pick<Stage, 'folder'>): string =>
  path.join(folder, 'ledger.jsonl');

/** Installs what is missing, starts the servers and creates two empty databases. */
export async function setTheStage(say: (line: string) => void): Promise<Stage> {
  const programs = await setUp(say);
  const cluster = await localCluster(programs);
  try {
    await endBackground(cluster.places.data);
    await cluster.up();
    for (const { name, address } of await cluster.status()) {
      if (address !== '') say(`${name}: ${address}`);
    }
    const { local, data } = cluster.places;
    if (data !== local) say(`data: ${data} (user postgres cannot enter ${local})`);
    // From here on this process and its children use the variables of `.local/env`.
    Object.assign(process.env, cluster.environment);
    await endOpenMigrations(say);
    for (const server of [cluster.source, cluster.target]) await freshDatabase(server);
  } catch (error) {
    // The caller has no stage to clear.
    await cluster.down();
    throw error;
  }
  const folder = path.join(cluster.places.local, 'demo');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return { cluster, folder };
}

/** A migration whose databases are about to be dropped can only interfere. */
async function endOpenMigrations(say: (line: string) => void): Promise<void> {
  await using temporal = await connectTemporal();
  const { workflow } = temporal.client;
  const query = `WorkflowType = 'migrateDatabase' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId } of workflow.list({ query })) {
    say(`terminating workflow ${workflowId} of an earlier run: its databases are recreated`);
    await workflow
      .getHandle(workflowId)
      .terminate('walferry demo recreates the databases')
      // It may have ended since the list was read.
      .catch(() => undefined);
  }
}

async function freshDatabase(server: PostgresServer): Promise<void> {
  await dropSlots(server);
  await server.query('postgres', async (client) => {
    const name = pg.escapeIdentifier(DATABASE);
    await client.query(/* sql */ `drop database if exists ${name} with (force)`);
  });
  await server.ensureDatabase(DATABASE);
}

/** A killed worker's walsender may use its slot for a moment longer. */
const DROP_ATTEMPTS = 100;

async function dropSlots(server: PostgresServer): Promise<void> {
  await server.query('postgres', async (client) => {
    for (let attempt = 0; attempt < DROP_ATTEMPTS; attempt++) {
      const busy = await client.query(
        /* sql */ `
        select pg_terminate_backend(active_pid), pg_sleep(0.1) from pg_replication_slots
        where database = $1 and active_pid is not null`,
        [DATABASE],
      );
      if (busy.rowCount === 0) break;
    }
    await client.query(
      /* sql */ `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1`,
      [DATABASE],
    );
  });
}

/** Ends every process of the demo; also drops a slot that an unfinished migration left. */
export async function clearTheStage({ cluster }: Stage): Promise<void> {
  await endBackground(cluster.places.data);
  // The source may be the cause of the failure.
  await dropSlots(cluster.source).catch(() => undefined);
  await cluster.down();
}
