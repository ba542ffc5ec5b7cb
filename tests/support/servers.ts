/**
 * Throw-away servers for one run of one project: two PostgreSQL clusters, and a Temporal server on request.
 * Everything is below one temporary folder, and leftovers of an earlier, killed run are ended first.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import path from 'node:path';
import { mayEnter, serverAccount } from '../../scripts/local/cluster/account.ts';
import { LOOPBACK } from '../../scripts/local/cluster/port.ts';
import { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import type { PostgresSpec } from '../../scripts/local/cluster/postgres-spec.ts';
import { processOf, writeRecord } from '../../scripts/local/cluster/process.ts';
import { ROLE, SETTINGS } from '../../scripts/local/cluster/settings.ts';
import type { ServerSettings, Side } from '../../scripts/local/cluster/settings.ts';
import { TemporalServer } from '../../scripts/local/cluster/temporal-server.ts';
import { findPostgres } from '../../scripts/local/setup/postgres-programs.ts';
import { findTemporal } from '../../scripts/local/setup/temporal-program.ts';
import type { TestRun } from './run.ts';
import { FOLDER_PREFIX, MEMORY_FOLDER, endLeftovers, endRecordedProcesses } from './leftovers.ts';

/** Many test files and worker processes share the clusters, and every test may hold a slot and a few sessions. */
const MANY = {
  max_connections: '300',
  max_replication_slots: '60',
  max_wal_senders: '60',
  shared_buffers: '128MB',
  // The product turns it off in its sessions. In those of the tests, compiling a query on the catalog takes 100 times as long as running it.
  jit: 'off',
  // Kept small, because it may be in memory.
  max_wal_size: '512MB',
  // Workers' sessions die by SIGKILL in the tests; the server should notice within the test's timeout.
  tcp_keepalives_idle: '5',
};

/**
 * A database is three hundred files, and most tests create two: in memory that takes a third of the processor time. Only where
 * there is plenty, because a full one would end the servers.
 */
const LEAST_BYTES = 10 * 1024 ** 3;

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= LEAST_BYTES && freemem() >= LEAST_BYTES;
  } catch {
    return false;
  }
}

/** Starts the servers; `stop` ends them and removes their folder. */
export async function startRun(
  project: string,
  options: {
    temporal: boolean;
    /** Instead of those that the tests share. */
    settings?: ServerSettings;
    /** Servers that flush to the disk: what is measured must not be faster than in production. */
    durable?: boolean;
  },
): Promise<{ run: TestRun; stop: () => Promise<void> }> {
  await endLeftovers();
  const postgres = findPostgres();
  const cli = findTemporal();
  if (!postgres || (options.temporal && !cli)) {
    throw new Error('the tests need PostgreSQL with wal2json and the Temporal CLI: npm run setup');
  }
  const folder = makeRunFolder(project, options.durable === true);
  // One for every server of the run, also those that tests start: they use ports that were another server's before, and of a
  // password file only the first line of an address counts. The tests search history and logs for it: it must never be there.
  const password = `secret-${randomBytes(12).toString('hex')}`;
  const spec = (side: Side): PostgresSpec => ({
    name: `test ${side}`,
    folder: path.join(folder, side),
    programs: postgres.folder,
    role: ROLE,
    password,
    settings: { ...SETTINGS[side], ...(options.settings ?? MANY) },
    durable: options.durable ?? false,
  });
  const source = new PostgresServer(spec('source'));
  const target = new PostgresServer(spec('target'));
  const temporal =
    options.temporal && cli
      ? new TemporalServer({ folder: path.join(folder, 'temporal'), program: cli.program })
      : undefined;
  const stop = async (): Promise<void> => {
    await endRecordedProcesses(folder);
    await Promise.all([source.stop('immediate'), target.stop('immediate'), temporal?.kill()]);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  try {
    const [sourcePort, targetPort] = await Promise.all([
      source.start(),
      target.start(),
      temporal?.start(),
    ]);
    const serviceFile = path.join(folder, 'pg_service.conf');
    writeFileSync(serviceFile, '# services of one test run\n', { mode: 0o600 });
    const passFile = path.join(folder, 'pgpass');
    writeFileSync(passFile, `${LOOPBACK}:*:*:${ROLE}:${password}\n`, { mode: 0o600 });
    const run: TestRun = {
      folder,
      source: source.spec,
      target: target.spec,
      sourcePort,
      targetPort,
      serviceFile,
      passFile,
      programs: [postgres.folder, ...(cli ? [path.dirname(cli.program)] : [])],
      temporal: temporal?.spec ?? null,
      temporalAddress: temporal?.address ?? null,
    };
    return { run, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function makeRunFolder(project: string, onDisk: boolean): string {
  const account = serverAccount();
  const inMemory = !onDisk && hasRoom(MEMORY_FOLDER) ? [MEMORY_FOLDER] : [];
  // A user's own TMPDIR may be closed to user postgres.
  const parents = [...inMemory, tmpdir(), '/tmp', '/var/tmp'];
  const parent = parents.find((folder) => mayEnter(folder, account));
  if (parent === undefined) throw new Error('no temporary folder that user postgres may enter');
  const folder = mkdtempSync(path.join(parent, `${FOLDER_PREFIX}${project}-`));
  chmodSync(folder, 0o711);
  mkdirSync(path.join(folder, 'logs'));
  mkdirSync(path.join(folder, 'processes'));
  const self = processOf(process.pid);
  if (self) writeRecord(path.join(folder, 'run.json'), self);
  return folder;
}
