/**
 * TLS against two servers of this file, one with TLS and one without. walferry must treat a service exactly as `psql service=NAME` does:
 * each test connects with both and expects one answer. The certificate authority, certificates and passwords are created for this
 * file.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
  appendFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import { linkOf } from '../../../postgres/connection/link.ts';
import { clientConfig, connect } from '../../../postgres/connection/connect.ts';
import { give, serverAccount } from '../../../scripts/local/cluster/account.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { testRun } from '../../support/run.ts';

const PASSWORD = 'marker-password-5e1c';
const run = promisify(execFile);

let folder = '';
let secure: PostgresServer;
let plain: PostgresServer;
const inFolder = (name: string): string => path.join(folder, name);

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
}

function makeAuthority(name: string): void {
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.crt`,
  );
}

/** A key and a certificate signed by the authority; `names` are subject alternative names. */
function makeCertificate(authority: string, file: string, subject: string, names: string): void {
  openssl(
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    `/CN=${subject}`,
    '-keyout',
    `${file}.key`,
    '-out',
    `${file}.csr`,
  );
  writeFileSync(
    inFolder(`${file}.ext`),
    names === '' ? 'basicConstraints=CA:FALSE\n' : `subjectAltName=${names}\n`,
  );
  openssl(
    'x509',
    '-req',
    '-in',
    `${file}.csr`,
    '-CA',
    `${authority}.crt`,
    '-CAkey',
    `${authority}.key`,
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    `${file}.ext`,
    '-out',
    `${file}.crt`,
  );
  chmodSync(inFolder(`${file}.key`), 0o600);
}

/** `role` → how pg_hba.conf authenticates it. */
const ACCESS = `
hostssl   all certified  127.0.0.1/32 cert
hostssl   all only_tls   127.0.0.1/32 scram-sha-256
hostnossl all only_plain 127.0.0.1/32 scram-sha-256
host      all walferry   127.0.0.1/32 scram-sha-256
`;

async function startServer(name: string, tls: boolean): Promise<PostgresServer> {
  const run = testRun();
  const server = new PostgresServer({
    name: `${name} of the TLS tests`,
    folder: inFolder(name),
    programs: run.source.programs,
    role: 'walferry',
    password: PASSWORD,
    settings: {
      shared_buffers: '16MB',
      password_encryption: 'scram-sha-256',
      // Short enough for a socket's path: the run's folder is in a temporary folder.
      unix_socket_directories: tls ? '' : folder,
    },
    durable: false,
  });
  server.initialise();
  const own = (file: string): string => path.join(server.dataFolder, file);
  if (tls) {
    for (const [from, to] of [
      ['server.crt', 'server.crt'],
      ['server.key', 'server.key'],
      ['good.crt', 'root.crt'],
    ] as const) {
      copyFileSync(inFolder(from), own(to));
      chmodSync(own(to), 0o600);
      give(own(to), serverAccount());
    }
    appendFileSync(own('postgresql.conf'), "ssl = on\nssl_ca_file = 'root.crt'\n");
    writeFileSync(own('pg_hba.conf'), ACCESS);
  }
  await server.start();
  await server.query('postgres', async (client) => {
    for (const role of ['certified', 'only_tls', 'only_plain']) {
      await client.query(`create role ${role} login password '${PASSWORD}'`);
    }
  });
  return server;
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(testRun().folder, 'tls-'));
  // The servers may belong to another user, and one of them creates its socket here.
  chmodSync(folder, 0o777);
  makeAuthority('good');
  makeAuthority('bad');
  makeCertificate('good', 'server', 'db.example', 'DNS:localhost,DNS:*.wild.example,IP:127.0.0.1');
  makeCertificate('good', 'certified', 'certified', '');
  makeCertificate('bad', 'impostor', 'certified', '');
  [secure, plain] = await Promise.all([startServer('secure', true), startServer('plain', false)]);
}, 240_000);

afterAll(async () => {
  await Promise.all([secure.stop('immediate'), plain.stop('immediate')]);
  rmSync(folder, { recursive: true, force: true });
});

type Settings = Readonly<Record<string, string>>;

interface Outcome {
  readonly ok: boolean;
  readonly encrypted: boolean;
}

let serial = 0;

/** A service in its own file; its HOME is empty unless files are put there. */
function service(settings: Settings, home: Readonly<Record<string, string>> = {}): string {
  const name = `tls_${++serial}`;
  const base = inFolder(name);
  mkdirSync(path.join(base, '.postgresql'), { recursive: true });
  for (const [file, from] of Object.entries(home)) {
    copyFileSync(inFolder(from), path.join(base, '.postgresql', file));
    chmodSync(path.join(base, '.postgresql', file), 0o600);
  }
  const all = {
    host: 'localhost',
    hostaddr: LOOPBACK,
    dbname: 'postgres',
    user: 'walferry',
    ...settings,
  };
  const lines = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  writeFileSync(path.join(base, 'services'), `[${name}]\n${lines.join('\n')}\n`);
  writeFileSync(path.join(base, 'pgpass'), `*:*:*:*:${PASSWORD}\n`, { mode: 0o600 });
  process.env['PGSERVICEFILE'] = path.join(base, 'services');
  process.env['PGPASSFILE'] = path.join(base, 'pgpass');
  process.env['HOME'] = base;
  return name;
}

const ENCRYPTED = /* sql */ `select ssl from pg_stat_ssl where pid = pg_backend_pid()`;

async function withPsql(name: string): Promise<Outcome> {
  try {
    const { stdout } = await run(
      path.join(testRun().source.programs, 'psql'),
      ['-XAtw', '-d', `service=${name}`, '-c', ENCRYPTED],
      { env: { ...process.env, LC_ALL: 'C' } },
    );
    return { ok: true, encrypted: stdout.trim() === 't' };
  } catch {
    return { ok: false, encrypted: false };
  }
}

async function withWalferry(name: string): Promise<Outcome & { failure?: MigrationError }> {
  try {
    await using client = await connect(name, 'preflight');
    const { rows } = await client.query<{ ssl: boolean }>(ENCRYPTED);
    return { ok: true, encrypted: rows[0]?.ssl === true };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { ok: false, encrypted: false, failure: error };
  }
}

/** Connects with both, expects one answer, and returns it. */
async function both(name: string): Promise<Outcome & { failure?: MigrationError }> {
  const [theirs, ours] = [await withPsql(name), await withWalferry(name)];
  expect({ ok: ours.ok, encrypted: ours.encrypted }, ours.failure?.message).toEqual(theirs);
  expect(ours.failure?.message ?? '').not.toContain(PASSWORD);
  return ours;
}

const on = (server: () => PostgresServer, settings: Settings): Settings => ({
  port: String(server().port),
  ...settings,
});
const toSecure = (settings: Settings): Settings => on(() => secure, settings);
const toPlain = (settings: Settings): Settings => on(() => plain, settings);

const YES = { ok: true, encrypted: true };
const OPEN = { ok: true, encrypted: false };
const NO = { ok: false };

describe('psql and walferry agree on a server with TLS', () => {
  it.each<[string, () => Settings, object]>([
    [
      'verify-full with the right authority',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('good.crt') }),
      YES,
    ],
    [
      'verify-full by address',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('good.crt'), host: LOOPBACK }),
      YES,
    ],
    [
      'verify-full with a wildcard',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('good.crt'), host: 'a.wild.example' }),
      YES,
    ],
    [
      'verify-full with two labels for one star',
      () => ({
        sslmode: 'verify-full',
        sslrootcert: inFolder('good.crt'),
        host: 'a.b.wild.example',
      }),
      NO,
    ],
    [
      'verify-full with a common name beside alternative names',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('good.crt'), host: 'db.example' }),
      NO,
    ],
    [
      'verify-full with the wrong host name',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('good.crt'), host: 'else.example' }),
      NO,
    ],
    [
      'verify-full with the wrong authority',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('bad.crt') }),
      NO,
    ],
    ['verify-full without a root certificate', () => ({ sslmode: 'verify-full' }), NO],
    [
      'verify-ca with the wrong host name',
      () => ({ sslmode: 'verify-ca', sslrootcert: inFolder('good.crt'), host: 'else.example' }),
      YES,
    ],
    [
      'verify-ca with the wrong authority',
      () => ({ sslmode: 'verify-ca', sslrootcert: inFolder('bad.crt') }),
      NO,
    ],
    ['require without a root certificate', () => ({ sslmode: 'require' }), YES],
    [
      'require with the right authority',
      () => ({ sslmode: 'require', sslrootcert: inFolder('good.crt') }),
      YES,
    ],
    [
      'require with the wrong authority',
      () => ({ sslmode: 'require', sslrootcert: inFolder('bad.crt') }),
      NO,
    ],
    ['no sslmode at all', () => ({}), YES],
    [
      'prefer with the wrong authority',
      () => ({ sslmode: 'prefer', sslrootcert: inFolder('bad.crt') }),
      OPEN,
    ],
    ['allow', () => ({ sslmode: 'allow' }), OPEN],
    ['allow for a role that must use TLS', () => ({ sslmode: 'allow', user: 'only_tls' }), YES],
    ['disable', () => ({ sslmode: 'disable' }), OPEN],
    ['disable for a role that must use TLS', () => ({ sslmode: 'disable', user: 'only_tls' }), NO],
    [
      'prefer for a role that must not use TLS',
      () => ({ sslmode: 'prefer', user: 'only_plain' }),
      OPEN,
    ],
    [
      'require for a role that must not use TLS',
      () => ({ sslmode: 'require', user: 'only_plain' }),
      NO,
    ],
    [
      'a version that the server has',
      () => ({ sslmode: 'require', ssl_min_protocol_version: 'TLSv1.3' }),
      YES,
    ],
  ])('%s', async (_what, settings, expected) => {
    expect(await both(service(toSecure(settings())))).toMatchObject(expected);
  });

  it('a root certificate in ~/.postgresql makes require verify, and prefer give up on TLS', async () => {
    const wrong = { 'root.crt': 'bad.crt' };
    expect(await both(service(toSecure({ sslmode: 'require' }), wrong))).toMatchObject(NO);
    expect(await both(service(toSecure({ sslmode: 'prefer' }), wrong))).toMatchObject(OPEN);
    const right = { 'root.crt': 'good.crt' };
    expect(await both(service(toSecure({ sslmode: 'verify-full' }), right))).toMatchObject(YES);
  });
});

describe('psql and walferry agree on a server without TLS', () => {
  it.each<[string, Settings, object]>([
    ['no sslmode at all', {}, OPEN],
    ['prefer', { sslmode: 'prefer' }, OPEN],
    ['allow', { sslmode: 'allow' }, OPEN],
    ['require', { sslmode: 'require' }, NO],
  ])('%s', async (_what, settings, expected) => {
    expect(await both(service(toPlain(settings)))).toMatchObject(expected);
  });
});

describe('psql and walferry agree on a Unix socket', () => {
  it('where TLS is never used, whatever sslmode says', async () => {
    const socket = { host: folder, hostaddr: '' };
    for (const sslmode of ['prefer', 'require', 'disable']) {
      expect(await both(service(toPlain({ ...socket, sslmode })))).toMatchObject(OPEN);
    }
  });
});

describe('psql and walferry agree on client certificates', () => {
  const certified = (files: string): Settings =>
    toSecure({
      sslmode: 'verify-full',
      sslrootcert: inFolder('good.crt'),
      user: 'certified',
      sslcert: inFolder(`${files}.crt`),
      sslkey: inFolder(`${files}.key`),
    });

  it("the right one is accepted, another authority's and none are not", async () => {
    expect(await both(service(certified('certified')))).toMatchObject(YES);
    expect(await both(service(certified('impostor')))).toMatchObject(NO);
    const none = toSecure({ sslmode: 'require', user: 'certified' });
    expect(await both(service(none))).toMatchObject(NO);
  });

  it('one in ~/.postgresql is found', async () => {
    const home = { 'postgresql.crt': 'certified.crt', 'postgresql.key': 'certified.key' };
    expect(
      await both(service(toSecure({ sslmode: 'require', user: 'certified' }), home)),
    ).toMatchObject(YES);
  });

  it('a key that others may read, or that is missing, is refused by name', async () => {
    copyFileSync(inFolder('certified.key'), inFolder('open.key'));
    chmodSync(inFolder('open.key'), 0o644);
    const open = await both(service({ ...certified('certified'), sslkey: inFolder('open.key') }));
    expect(open.failure?.code).toBe('InvalidService');
    expect(open.failure?.message).toContain('open.key');
    const gone = await both(service({ ...certified('certified'), sslkey: inFolder('gone.key') }));
    expect(gone.failure?.message).toContain('gone.key');
  });
});

describe('what a failure says', () => {
  it('a TLS failure is blamed on the service, a wrong password on credentials, and neither shows a secret', async () => {
    const tls = await both(
      service(toSecure({ sslmode: 'verify-full', sslrootcert: inFolder('bad.crt') })),
    );
    expect(tls.failure?.code).toBe('InvalidService');
    expect(tls.failure?.message).toMatch(
      /TLS failed \(certificates, host name\) \(SELF_SIGNED_CERT_IN_CHAIN\)/,
    );
    const name = await both(
      service(
        toSecure({
          sslmode: 'verify-full',
          sslrootcert: inFolder('good.crt'),
          host: 'else.example',
        }),
      ),
    );
    expect(name.failure?.message).toContain('ERR_TLS_CERT_ALTNAME_INVALID');
    const without = await both(service(toPlain({ sslmode: 'require' })));
    expect(without.failure?.message).toContain('the server does not offer TLS');
    const login = await both(
      service(toSecure({ sslmode: 'require', password: `wrong-${PASSWORD}` })),
    );
    expect(login.failure).toMatchObject({ code: 'Denied', details: { sqlstate: '28P01' } });
    const refused = await both(
      service(toSecure({ user: 'only_plain', sslmode: 'prefer', password: 'wrong' })),
    );
    expect(refused.failure?.message).toMatch(/with TLS .*28000.*; without TLS .*28P01/);
  });
});

describe('a configuration for other clients', () => {
  it('requests TLS and continues without it, like psql', async () => {
    for (const [settings, ssl] of [
      [toSecure({}), true],
      [toPlain({}), false],
    ] as const) {
      const client = new pg.Client(clientConfig(service(settings), 'stream'));
      await client.connect();
      const { rows } = await client.query<{ ssl: boolean }>(ENCRYPTED);
      await client.end();
      expect(rows).toEqual([{ ssl }]);
    }
  });

  it('starts with the method that worked before', async () => {
    const name = service(toSecure({ user: 'only_plain' }));
    await (await connect(name, 'preflight'))[Symbol.asyncDispose]();
    const client = new pg.Client(clientConfig(name, 'stream'));
    await client.connect();
    await client.end();
  });

  it('serves a replication connection over TLS', async () => {
    const config = clientConfig(service(toSecure({})), 'stream');
    const client = new pg.Client({ ...config, replication: 'database' } as pg.ClientConfig);
    await client.connect();
    const { rows } = await client.query<{ dbname: string }>('IDENTIFY_SYSTEM');
    await client.end();
    expect(rows).toMatchObject([{ dbname: 'postgres' }]);
  });
});

describe('a connection is described exactly for preflight', () => {
  it.each<[string, () => Settings, object]>([
    ['without TLS', () => ({ sslmode: 'disable' }), { encrypted: false, verified: 'nothing' }],
    ['not verified', () => ({ sslmode: 'require' }), { encrypted: true, verified: 'nothing' }],
    [
      'verified by the mere presence of a root certificate',
      () => ({ sslmode: 'require', sslrootcert: inFolder('good.crt') }),
      { encrypted: true, verified: 'chain' },
    ],
    [
      'host verified',
      () => ({ sslmode: 'verify-full', sslrootcert: inFolder('good.crt') }),
      { encrypted: true, verified: 'host' },
    ],
    [
      'prefer with the wrong authority, which goes on without TLS',
      () => ({ sslmode: 'prefer', sslrootcert: inFolder('bad.crt') }),
      { encrypted: false, verified: 'nothing' },
    ],
  ])('%s', async (_what, settings, expected) => {
    const name = service(toSecure(settings()));
    await using client = await connect(name, 'preflight');
    expect(linkOf(name, client)).toMatchObject({ local: true, ...expected });
  });
});
