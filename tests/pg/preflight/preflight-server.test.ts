/**
 * Preflight against a source server with every wrong setting. The file uses its own server, because the settings belong to the
 * server and not to a database. Servers that know `output_plugin_libraries` (from 15.19, 17.11 and 18.6 on) and those that do
 * not are both in use; this file expects of each what is right for it.
 */
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FAILURES } from '../../../contract/failure-catalogue.ts';
import type { Finding } from '../../../contract/finding.ts';
import { parseInput } from '../../../contract/input.ts';
import { slotName } from '../../../contract/slot-name.ts';
import { parseLsn } from '../../../contract/lsn.ts';
import { inspect } from '../../../postgres/preflight/inspect.ts';
import { ReplicationReader } from '../../../postgres/replication/reader.ts';
import { pluginOptions } from '../../../postgres/wal2json/plugin-options.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { addService, freshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';

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
}, 120_000);

afterAll(async () => {
  await server.stop('immediate');
  rmSync(server.spec.folder, { recursive: true, force: true });
});

async function sql(...statements: string[]): Promise<void> {
  await sqlOn(server, statements);
}

async function sqlOn(on: PostgresServer, statements: readonly string[]): Promise<void> {
  await on.query('postgres', async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}

/** A server setting that takes effect with a restart. */
async function restartWith(statement: string): Promise<void> {
  await sql(statement);
  await server.stop();
  const port = server.port;
  expect(await server.start(port)).toBe(port);
}

/** Without the settings that all test servers share: those are removed. */
async function findings(source = SERVICE): Promise<Finding[]> {
  return (await allFindings(source)).filter(({ code }) => !code.endsWith('-not-durable'));
}

async function allFindings(source = SERVICE): Promise<Finding[]> {
  await using pair = await freshPair();
  const parsed = parseInput({ source, target: pair.target });
  if (!parsed.ok) throw new Error(parsed.message);
  const migration = {
    id: 'r',
    workflowId: 'w',
    source,
    target: pair.target,
    slot: slotName('w', 'r'),
  };
  return await inspect(migration, parsed.input);
}

const codes = async (): Promise<string[]> => (await findings()).map(({ code }) => code);

it('it names wal_level, few senders and full slots, and passes when all are fixed', async () => {
  expect(await codes()).toEqual(['wal-level', 'last-sender']);

  await restartWith("alter system set wal_level = 'logical'");
  expect(await codes()).toEqual(['last-sender']);
  const [sender] = await findings();
  const [, set] = /(alter system [^;]+);/.exec(sender?.action ?? '') ?? [];
  await restartWith(set ?? '');
  expect(await codes()).toEqual([]);

  await sql("select pg_create_physical_replication_slot('somebody')");
  expect(await codes()).toEqual(['no-free-slot']);
  await sql("select pg_drop_replication_slot('somebody')");
  expect(await codes()).toEqual([]);
});

it('a limit on the WAL that a slot may keep is reported, and so is a time limit of slots where the server has one', async () => {
  await sql("alter system set max_slot_wal_keep_size = '1GB'", 'select pg_reload_conf()');
  const [found, ...more] = await findings();
  expect(more).toEqual([]);
  expect(found).toMatchObject({ level: 'warning', code: 'wal-limit' });
  expect(found?.message).toContain('more than 1.0 GB of WAL');
  const [, set, reload] = /: (alter [^;]+); (select [^;]+);/.exec(found?.action ?? '') ?? [];
  await sql(set ?? '', reload ?? '');
  expect(await codes()).toEqual([]);
});

it('too few free connections for the copy streams are reported with their numbers', async () => {
  await restartWith('alter system set max_connections = 8');
  const [found] = await findings();
  expect(found?.code).toBe('source-sessions');
  expect(found?.message).toMatch(/^the source has \d free connections? \(\d of 8 are in use\)/);
  await restartWith('alter system reset max_connections');
  expect(await codes()).toEqual([]);
});

it('servers that do not survive a crash of their operating system are named, until the statements of the finding are run', async () => {
  const unsafe = async (): Promise<Finding[]> =>
    (await allFindings()).filter(({ code }) => code.endsWith('-not-durable'));
  const [source, target] = await unsafe();
  expect(target).toMatchObject({ level: 'warning', code: 'target-not-durable' });
  expect(target?.message).toContain('(off: fsync, full_page_writes)');
  const statements = [...(source?.action ?? '').matchAll(/(?:alter system|select) [^;]+/g)];
  await sql(...statements.map(([one]) => one));
  await until('the settings to be read', async () => {
    return (await unsafe()).every(({ code }) => code === 'target-not-durable');
  });
  await sql('alter system reset fsync', 'alter system reset full_page_writes');
  await sql('select pg_reload_conf()');
});

describe('the setting output_plugin_libraries', () => {
  const knows = async (one: PostgresServer): Promise<boolean> =>
    await one.query('postgres', async (client) => {
      const { rows } = await client.query<{ value: string | null }>(
        /* sql */ `select current_setting('output_plugin_libraries', true) as value`,
      );
      return rows[0]?.value != null;
    });
  /** The server above if it has the setting, otherwise one of 17 if setup fetched it. */
  let newer: { readonly server: PostgresServer; readonly service: string } | null = null;
  const other = findOther(17);
  const ABSENT =
    'no server here has the setting: npm run setup -- --versions fetches one that does';

  beforeAll(async () => {
    if (await knows(server)) {
      newer = { server, service: SERVICE };
    } else if (other) {
      const started = await serverOf('source', other);
      const { role: user, password } = started.spec;
      const service = 'newer_server';
      const port = String(started.port);
      addService(service, { host: LOOPBACK, port, dbname: 'postgres', user, password });
      await sqlOn(started, ['create table t (id int primary key)']);
      newer = { server: started, service };
    }
  }, 120_000);

  afterAll(async () => {
    if (newer && newer.server !== server) await newer.server.stop('immediate');
  });

  const aboutPlugin = ({ code }: Finding): boolean => code.startsWith('plugin-');

  it('a server from 15.19, 17.11 or 18.6 on must list wal2json, and the reported line fixes it', async (test) => {
    if (!newer) return test.skip(ABSENT);
    const { server: one, service } = newer;
    await sqlOn(one, [
      'alter system set output_plugin_libraries = pgoutput',
      'select pg_reload_conf()',
    ]);
    // A source newer than this machine's client programs gets the same finding.
    const [found, ...more] = (await findings(service)).filter(aboutPlugin);
    expect(more).toEqual([]);
    expect(found?.code).toBe('plugin-refused');
    const [, set, reload] = /: (alter [^;]+); (select [^;]+);$/.exec(found?.action ?? '') ?? [];
    await sqlOn(one, [set ?? '', reload ?? '']);
    expect((await findings(service)).filter(aboutPlugin)).toEqual([]);
  });

  it('a slot that was created before the list lost wal2json is refused with the line to set, and readable after that', async (test) => {
    if (!newer) return test.skip(ABSENT);
    const { server: one, service } = newer;
    const slot = 'walferry_before_the_update';
    await sqlOn(one, [`select pg_create_logical_replication_slot('${slot}', 'wal2json')`]);
    await sqlOn(one, [
      'alter system set output_plugin_libraries = pgoutput',
      'select pg_reload_conf()',
    ]);
    const { rows } = await one.query('postgres', (client) =>
      client.query<{ lsn: string }>(
        /* sql */ `select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1`,
        [slot],
      ),
    );
    const options = {
      service,
      server: null,
      slot,
      start: parseLsn(rows[0]?.lsn ?? ''),
      plugin: pluginOptions({ schemas: null, numericAsText: false }),
    };
    const refusal = await ReplicationReader.open(options).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'PluginRefused', details: { sqlstate: '42501' } });
    const [, set, reload] =
      /: (alter [^;]+); (select [^;]+);/.exec(FAILURES.PluginRefused.action) ?? [];
    await sqlOn(one, [set ?? '', reload ?? '']);
    const reader = await ReplicationReader.open(options);
    await reader.stop();
    await until('the slot to be free', async () => {
      await sqlOn(one, [`select pg_drop_replication_slot('${slot}')`]);
      return true;
    });
  });

  it('an older server without such a setting gets no finding', async (test) => {
    if (await knows(server)) test.skip('this server is newer and has the setting');
    expect(await codes()).toEqual([]);
  });
});
