/**
 * Preflight of what is between worker and server. The load balancer is a few lines of TCP; the pooler is pgbouncer, where
 * the machine has it. TLS itself is tested in tls.test.ts; here is what preflight reports about a connection.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync, chmodSync } from 'node:fs';
import { connect as dial, createServer } from 'node:net';
import path from 'node:path';
import { expect, it } from 'vitest';
import { linkOf } from '../../../postgres/connection/link.ts';
import { connect } from '../../../postgres/connection/connect.ts';
import { give, serverAccount } from '../../../scripts/local/cluster/account.ts';
import { LOOPBACK, freePort } from '../../../scripts/local/cluster/port.ts';
import { addService, freshPair, sourceServer, targetServer } from '../../support/database.ts';
import { CLEAN, codes, findingsOf, only } from '../../support/preflight.ts';
import { testRun } from '../../support/run.ts';
import { until } from '../../support/until.ts';

/** Passes each connection on to the next of the ports, in turn. */
async function balancer(ports: readonly number[]): Promise<{ port: number } & AsyncDisposable> {
  let next = 0;
  const server = createServer((socket) => {
    const other = dial(ports[next++ % ports.length] ?? 0, LOOPBACK);
    for (const one of [socket, other]) one.on('error', () => undefined);
    socket.pipe(other).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

it('connections that reach different servers are refused; one server behind a plain proxy is not', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(CLEAN);
  const { port = 0 } = sourceServer();
  // In threes: a session that asks for TLS first may take two connections, and must not reach the same server each time.
  await using both = await balancer([port, port, targetServer().port ?? 0]);
  await using one = await balancer([port]);
  // Known to both servers: a refused login is retried the other way, and could reach the first server then.
  const role = `role_${db.source}`;
  const servers = [db.sourceClient, db.targetClient];
  for (const client of servers) {
    await client.query(`create role ${role} login superuser password 'both know it'`);
  }
  const to = { host: LOOPBACK, user: role, password: 'both know it' };
  addService(`both_${db.source}`, { ...to, port: String(both.port), dbname: 'postgres' });
  addService(`one_${db.source}`, { ...to, port: String(one.port), dbname: db.source });
  try {
    const findings = await findingsOf(db, { source: `both_${db.source}` });
    expect(codes(findings)).toEqual(['source-balanced']);
    expect(findings[0]?.message).toContain('reach 2 different servers');
    expect(await findingsOf(db, { source: `one_${db.source}` })).toEqual([]);
  } finally {
    for (const client of servers) await client.query(`drop role ${role}`);
  }
});

it('a connection is described exactly: local, without TLS', async () => {
  await using db = await freshPair();
  await using client = await connect(db.source, 'preflight');
  expect(linkOf(db.source, client)).toEqual({
    place: `${LOOPBACK}:${sourceServer().port}`,
    ...{ local: true, encrypted: false, verified: 'nothing' },
  });
});

const PGBOUNCER = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/sbin']
  .map((folder) => path.join(folder, 'pgbouncer'))
  .find((file) => existsSync(file));

/** A pooler in front of the source server, in transaction mode. */
async function pooler(ignored: string): Promise<{ port: number } & AsyncDisposable> {
  const folder = mkdtempSync(path.join(testRun().folder, 'pooler-'));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const { spec, port: behind } = sourceServer();
  const file = path.join(folder, 'pgbouncer.ini');
  writeFileSync(
    file,
    `[databases]
* = host=${LOOPBACK} port=${behind} user=${spec.role} password=${spec.password}
[pgbouncer]
listen_addr = ${LOOPBACK}
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = ${ignored}
`,
    { mode: 0o600 },
  );
  give(file, serverAccount());
  // It refuses to run as root.
  const child = spawn(PGBOUNCER ?? '', ['--quiet', file], { ...serverAccount(), stdio: 'ignore' });
  await until('pgbouncer to listen', () => {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}`);
    return new Promise<boolean>((resolve) => {
      const socket = dial(port, LOOPBACK, () => resolve(socket.destroy().destroyed));
      socket.on('error', () => resolve(false));
    });
  });
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}

it.skipIf(PGBOUNCER === undefined)(
  'a pooler is refused, whether it rejects our settings or drops them (skipped without pgbouncer)',
  async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    const { spec } = sourceServer();
    for (const [name, ignored, reason] of [
      ['strict', 'extra_float_digits', /startup settings of the session are refused/],
      ['lax', 'options,extra_float_digits', /sessions do not keep their own backend/],
    ] as const) {
      await using pool = await pooler(ignored);
      const service = `${name}_${db.source}`;
      const to = { host: LOOPBACK, port: String(pool.port), dbname: db.source };
      addService(service, { ...to, user: spec.role, password: spec.password });
      const findings = await findingsOf(db, { source: service });
      expect(codes(findings)).toEqual(['source-pooled']);
      expect(only(findings, 'source-pooled').message).toMatch(reason);
    }
  },
);
