/** A streaming standby of a server that belongs to one test. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { makeFolderFor, serverAccount } from '../../scripts/local/cluster/account.ts';
import { serverEnvironment } from '../../scripts/local/cluster/configuration.ts';
import { LOOPBACK } from '../../scripts/local/cluster/port.ts';
import { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import { writeRecord } from '../../scripts/local/cluster/process.ts';
import { testRun } from './run.ts';

/**
 * Takes a base backup and starts a standby that follows the primary; it ends with the scope, or with the run.
 * @param settings of postgresql.conf, in addition to those of the primary.
 */
export async function standbyOf(
  { spec, port }: PostgresServer,
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer & AsyncDisposable> {
  const { folder } = testRun();
  const name = `standby-${randomBytes(3).toString('hex')}`;
  const server = new PostgresServer({
    ...spec,
    ...{ name: 'test standby', folder: path.join(folder, name) },
    settings: { ...spec.settings, ...settings },
  });
  mkdirSync(server.spec.folder);
  chmodSync(server.spec.folder, 0o755);
  const account = serverAccount();
  makeFolderFor(server.dataFolder, account);
  const from = ['-h', LOOPBACK, '-p', String(port), '-U', spec.role];
  execFileSync(
    path.join(spec.programs, 'pg_basebackup'),
    [...from, '-D', server.dataFolder, '--write-recovery-conf', '--checkpoint=fast', '--no-sync'],
    { ...account, cwd: '/', env: { ...serverEnvironment(), PGPASSWORD: spec.password } },
  );
  await server.start();
  if (server.process) writeRecord(path.join(folder, 'processes', `${name}.json`), server.process);
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.stop('immediate') });
}
