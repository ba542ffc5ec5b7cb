/**
 * Preflight against a source server that is set in every wrong way. It has a server of its own, because the settings are the
 * server's and not a database's. Servers that know `output_plugin_libraries` (from 15.19, 17.11 and 18.6 on) and those that
 * do not are both met in the field; this file expects of each what is right for it.
 */
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Finding } from '../../contract/finding.ts';
import { parseInput } from '../../contract/input.ts';
import { slotName } from '../../contract/migration.ts';
import { inspect } from '../../postgres/preflight/inspect.ts';
import { LOOPBACK } from '../../scripts/cluster/port.ts';
import { PostgresServer } from '../../scripts/cluster/postgres.ts';
import { addService, freshPair } from '../support/database.ts';
import { testRun } from '../support/run.ts';

const SERVICE = 'wrong_settings';
let server: PostgresServer;

beforeAll(async () => {
  const run = testRun();
  const folder = mkdtempSync(path.join(run.folder, 'wrong-'));
  chmodSync(folder, 0o755);
  const settings = { wal_level: 'replica', max_replication_slots: '1', max_wal_senders: '1' };
  server = new PostgresServer({ ...run.source, name: 'wrong source', folder, settings });
  const port = await server.start();
  const { role: user, password } = run.source;
  addService(SERVICE, { host: LOOPBACK, port: String(port), dbname: 'postgres', user, password });
  await sql('create table t (id int primary key)');
}, 60_000);

afterAll(async () => {
  await server.stop('immediate');
  rmSync(server.spec.folder, { recursive: true, force: true });
});

async function sql(...statements: string[]): Promise<void> {
  await server.query('postgres', async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}

/** A setting of the server that a restart brings into effect. */
async function restartWith(statement: string): Promise<void> {
  await sql(statement);
  await server.stop();
  const port = server.port;
  expect(await server.start(port)).toBe(port);
}

async function findings(): Promise<Finding[]> {
  await using pair = await freshPair();
  const parsed = parseInput({ source: SERVICE, target: pair.target });
  if (!parsed.ok) throw new Error(parsed.message);
  const migration = {
    id: 'r',
    workflowId: 'w',
    source: SERVICE,
    target: pair.target,
    slot: slotName('w', 'r'),
  };
  return await inspect(migration, parsed.input);
}

const codes = async (): Promise<string[]> => (await findings()).map(({ code }) => code);

it('names wal_level, then full slots, and is content when all is mended', async () => {
  expect(await codes()).toEqual(['wal-level']);

  await restartWith("alter system set wal_level = 'logical'");
  expect(await codes()).toEqual([]);

  await sql("select pg_create_physical_replication_slot('somebody')");
  expect(await codes()).toEqual(['no-free-slot']);
  await sql("select pg_drop_replication_slot('somebody')");
  expect(await codes()).toEqual([]);
});

it('a server that lists its output plugins is told to list wal2json; another one is left alone', async () => {
  await restartWith("alter system set wal_level = 'logical'");
  const known = await server.query('postgres', async (client) => {
    const { rows } = await client.query<{ value: string | null }>(
      /* sql */ `select current_setting('output_plugin_libraries', true) as value`,
    );
    return rows[0]?.value != null;
  });
  if (!known) {
    expect(await codes()).toEqual([]);
    return;
  }
  await sql("alter system set output_plugin_libraries = 'pgoutput'", 'select pg_reload_conf()');
  const [found, ...more] = await findings();
  expect(more).toEqual([]);
  expect(found?.code).toBe('plugin-refused');
  const [, set, reload] = /: (alter [^;]+); (select [^;]+);$/.exec(found?.action ?? '') ?? [];
  await sql(set ?? '', reload ?? '');
  expect(await codes()).toEqual([]);
});
