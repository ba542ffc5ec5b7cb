/**
 * Servers of other major versions in addition to those of the run, for migrations between versions.
 */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import { writeRecord } from '../../scripts/local/cluster/process.ts';
import { ROLE, SETTINGS } from '../../scripts/local/cluster/settings.ts';
import type { Side } from '../../scripts/local/cluster/settings.ts';
import type { OtherPostgres } from '../../scripts/local/setup/versions.ts';
import { testRun } from './run.ts';

/**
 * Starts a server of these programs in the run's folder; it ends with the scope, or with the run.
 * @param settings of postgresql.conf, in addition to those of the side.
 */
export async function serverOf(
  side: Side,
  { folder, version }: OtherPostgres,
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer & AsyncDisposable> {
  const run = testRun();
  const name = `${side}-${version}-${randomBytes(3).toString('hex')}`;
  const server = new PostgresServer({
    name: `test ${side} ${version}`,
    folder: path.join(run.folder, name),
    programs: folder,
    role: ROLE,
    password: run[side].password,
    settings: { ...SETTINGS[side], shared_buffers: '64MB', ...settings },
    durable: false,
  });
  await server.start();
  // If this run is killed, a later run ends what is recorded here.
  if (server.process)
    writeRecord(path.join(run.folder, 'processes', `${name}.json`), server.process);
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.stop('immediate') });
}
