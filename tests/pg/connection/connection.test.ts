import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import path from 'node:path';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import {
  clientProgram,
  connectArgument,
  programEnvironment,
} from '../../../postgres/connection/program.ts';
import { READABLE } from '../../../postgres/connection/pinned.ts';
import { clientConfig, connect } from '../../../postgres/connection/connect.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import { addService, connectTo, freshPair, sourceServer } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { observed } from '../../support/observed.ts';
import { testRun } from '../../support/run.ts';
import { until } from '../../support/until.ts';

const SECRET = 'marker-secret-91c4';

async function failureOf(promise: Promise<unknown>): Promise<MigrationError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MigrationError) return error;
    throw error;
  }
  throw new Error('nothing failed');
}

/** A second service for the source database of a pair. */
function serviceOn(db: FreshPair, settings: Readonly<Record<string, string>>): string {
  const name = `again_${randomBytes(5).toString('hex')}`;
  const { port, spec } = sourceServer();
  addService(name, {
    host: LOOPBACK,
    port: String(port),
    dbname: db.source,
    user: spec.role,
    ...settings,
  });
  return name;
}

async function shown(client: pg.Client, name: string): Promise<string> {
  const { rows } = await client.query<{ value: string }>('select current_setting($1) as value', [
    name,
  ]);
  return rows[0]?.value ?? '';
}

describe('the settings of a session', () => {
  it('are ours, whatever the database, the role and the service set', async () => {
    await using db = await freshPair();
    const role = `role_${randomBytes(5).toString('hex')}`;
    const others = {
      DateStyle: 'German',
      IntervalStyle: 'iso_8601',
      TimeZone: 'Asia/Tokyo',
      extra_float_digits: '-10',
      bytea_output: 'escape',
      array_nulls: 'off',
      xmloption: 'document',
      row_security: 'on',
      statement_timeout: '1ms',
      lock_timeout: '1ms',
      idle_in_transaction_session_timeout: '1ms',
      idle_session_timeout: '60s',
      default_transaction_read_only: 'on',
      default_transaction_isolation: 'serializable',
    };
    await db.sourceClient.query(`create role ${role} login password '${SECRET}'`);
    try {
      for (const [name, value] of Object.entries(others)) {
        await db.sourceClient.query(`alter role ${role} set ${name} = '${value}'`);
        await db.sourceClient.query(
          `alter role ${role} in database ${db.source} set ${name} = '${value}'`,
        );
      }
      const options = Object.entries(others)
        .filter(([name]) => name !== 'idle_session_timeout' && name !== 'statement_timeout')
        .map(([name, value]) => `-c ${name}=${value}`)
        .join(' ');
      const service = serviceOn(db, {
        user: role,
        password: SECRET,
        options: `${options} -c maintenance_work_mem=7MB`,
      });
      await using client = await connect(service, 'copy', { lockTimeoutMs: 1234 });
      for (const [name, value] of Object.entries(READABLE)) {
        expect(await shown(client, name), name).toMatch(new RegExp(`^${value}`));
      }
      expect(await shown(client, 'statement_timeout')).toBe('0');
      expect(await shown(client, 'idle_in_transaction_session_timeout')).toBe('0');
      expect(await shown(client, 'idle_session_timeout')).toBe('0');
      expect(await shown(client, 'lock_timeout')).toBe('1234ms');
      expect(await shown(client, 'default_transaction_read_only')).toBe('off');
      expect(await shown(client, 'transaction_isolation')).toBe('read committed');
      // Unrelated settings of the service stay.
      expect(await shown(client, 'maintenance_work_mem')).toBe('7MB');
    } finally {
      await db.sourceClient.query(`drop role ${role}`);
    }
  });

  it('name the owner and the purpose of the session, after the service’s own name', async () => {
    await using db = await freshPair();
    await using plain = await connect(db.source, 'slot');
    expect(await shown(plain, 'application_name')).toBe('walferry slot');
    await using named = await connect(serviceOn(db, { application_name: 'billing' }), 'copy');
    expect(await shown(named, 'application_name')).toBe('walferry copy (billing)');
  });

  it('make row security an error instead of missing rows', async () => {
    await using db = await freshPair();
    const role = `role_${randomBytes(5).toString('hex')}`;
    await db.sourceClient.query(`create role ${role} login password '${SECRET}';
      create table t (id int); insert into t values (1); alter table t enable row level security; grant select on t to ${role}`);
    try {
      await using client = await connect(serviceOn(db, { user: role, password: SECRET }), 'copy');
      await expect(client.query('select * from public.t')).rejects.toMatchObject({ code: '42501' });
    } finally {
      await db.sourceClient.query(`drop owned by ${role}; drop role ${role}`);
    }
  });
});

describe('passwords', () => {
  it('come from the password file of the worker or of the service; a file that others may read is ignored', async () => {
    await using db = await freshPair();
    const folder = mkdtempSync(path.join(testRun().folder, 'pass-'));
    const file = path.join(folder, 'pgpass');
    const { port, spec } = sourceServer();
    writeFileSync(
      file,
      `# none\nlocalhost:*:*:*:${SECRET}\n${LOOPBACK}:${port}:${db.source}:${spec.role}:${spec.password}\n`,
      { mode: 0o600 },
    );
    await using client = await connect(serviceOn(db, { passfile: file }), 'plan');
    expect(await shown(client, 'is_superuser')).toBe('on');
    chmodSync(file, 0o644);
    const failure = await failureOf(connect(serviceOn(db, { passfile: file }), 'plan'));
    expect(failure.code).toBe('Denied');
    expect(failure.message).toContain('PGPASSFILE');
  });

  it('never appear in a failure', async () => {
    await using db = await freshPair();
    const failures = [
      await failureOf(connect(serviceOn(db, { password: SECRET }), 'plan')),
      await failureOf(
        connect(serviceOn(db, { password: SECRET, dbname: 'no_such_database' }), 'plan'),
      ),
      await failureOf(connect(serviceOn(db, { password: SECRET, port: '1' }), 'plan')),
      await failureOf(connect(serviceOn(db, { password: SECRET, sslmode: SECRET }), 'plan')),
      await failureOf(
        connect(serviceOn(db, { [SECRET.replaceAll('-', '_')]: 'x', password: SECRET }), 'plan'),
      ),
    ];
    expect(failures.map(({ code }) => code)).toEqual([
      'Denied',
      'Denied',
      'Unreachable',
      'InvalidService',
      'InvalidService',
    ]);
    for (const { message, details } of failures) {
      expect(message + JSON.stringify(details)).not.toContain(SECRET);
    }
  });
});

/** A server that accepts connections and never answers. */
async function silentServer(): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('a server that does not answer', () => {
  it.each(['disable', 'prefer', 'require'])(
    'ends in Unreachable after connect_timeout (sslmode %s)',
    async (sslmode) => {
      await using silent = await silentServer();
      const name = `silent_${randomBytes(5).toString('hex')}`;
      addService(name, {
        host: LOOPBACK,
        port: String(silent.port),
        connect_timeout: '1',
        sslmode,
      });
      expect(await failureOf(connect(name, 'plan'))).toMatchObject({ code: 'Unreachable' });
    },
  );

  it('is given up without connect_timeout, too', async () => {
    await using db = await freshPair();
    expect(clientConfig(db.source, 'plan').connectionTimeoutMillis).toBeGreaterThan(0);
  });

  it('is given up at once when the step is cancelled, with the reason', async () => {
    await using silent = await silentServer();
    const name = `silent_${randomBytes(5).toString('hex')}`;
    addService(name, { host: LOOPBACK, port: String(silent.port) });
    const stop = new AbortController();
    const reason = new Error('paused');
    const connecting = observed(connect(name, 'plan', { signal: stop.signal }));
    stop.abort(reason);
    await expect(connecting).rejects.toBe(reason);
    await expect(connect(name, 'plan', { signal: stop.signal })).rejects.toBe(reason);
  });
});

describe('a session whose worker is gone', () => {
  it('ends on the server, too, in the middle of its statement', async () => {
    await using db = await freshPair();
    const stop = new AbortController();
    await using client = await connect(db.source, 'index', { signal: stop.signal });
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const running = client.query('select pg_sleep(600)');
    const ended = expect(running).rejects.toThrow(/terminated/);
    await using watcher = await connectTo(db.source);
    const state = async (): Promise<string | undefined> => {
      const seen = await watcher.query<{ state: string }>(
        'select state from pg_stat_activity where pid = $1',
        [rows[0]?.pid],
      );
      return seen.rows[0]?.state;
    };
    await until('the statement to run', async () => (await state()) === 'active');
    stop.abort();
    await ended;
    await until('its backend to end', async () => (await state()) === undefined);
  });
});

describe('client programs', () => {
  it('are the newest on the PATH, with their major version', async () => {
    const folder = mkdtempSync(path.join(testRun().folder, 'bin-'));
    const fake = (name: string, text: string) =>
      writeFileSync(path.join(folder, name), `#!/bin/sh\necho '${text}'\n`, { mode: 0o755 });
    fake('pg_dump', 'pg_dump (PostgreSQL) 99.1 (Debian 99.1-1)');
    fake('psql', 'no version at all');
    const env = { ...process.env, PATH: `${process.env['PATH']}:${folder}` };
    expect(await clientProgram('pg_dump', env)).toEqual({
      path: path.join(folder, 'pg_dump'),
      major: 99,
    });
    expect((await clientProgram('psql', env)).major).toBeLessThan(99);
  });

  it('reach a service without any secret in their arguments', async () => {
    await using db = await freshPair();
    const { execFileSync } = await import('node:child_process');
    const { path: psql } = await clientProgram('psql');
    const out = execFileSync(
      psql,
      ['-XAtw', connectArgument(db.source), '-c', 'show application_name'],
      { env: programEnvironment('schema'), encoding: 'utf8' },
    );
    expect(out.trim()).toBe('walferry schema');
  });
});
