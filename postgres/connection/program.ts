/**
 * Finds PostgreSQL's client programs on this machine and points them at a service: they read the same service and password files
 * as we do, so no secret is in their arguments or output.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { MigrationError } from '../../contract/failure.ts';
import { startupOptions } from './pinned.ts';
import { endpointOf } from './service.ts';

export type ProgramName = 'pg_dump' | 'pg_restore' | 'psql';

export interface ClientProgram {
  readonly path: string;
  readonly major: number;
}

/** Where Debian's packages install the programs of each server version. */
const DEBIAN_FOLDER = '/usr/lib/postgresql';
const VERSION_TIMEOUT_MS = 10_000;

const run = promisify(execFile);

/**
 * The newest of the programs on the PATH and in Debian's folders; of equal versions the first on the PATH. The newest, because
 * pg_dump refuses a server newer than itself.
 * @throws MigrationError `SchemaFailed` when there is none.
 */
export async function clientProgram(
  name: ProgramName,
  env: NodeJS.ProcessEnv = process.env,
): Promise<ClientProgram> {
  const onPath = (env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  const files = [...onPath, ...debianFolders()].map((folder) => path.join(folder, name));
  let newest: ClientProgram | null = null;
  for (const file of uniquePrograms(files)) {
    const major = await majorVersion(file, env);
    if (major !== null && (newest === null || major > newest.major)) newest = { path: file, major };
  }
  if (newest) return newest;
  throw new MigrationError(
    'SchemaFailed',
    `the worker has no ${name}: install PostgreSQL's client programs or put them on its PATH`,
    { object: name },
  );
}

/**
 * The argument that connects a client program to a service, with our session settings (pinned.ts). They are part of the argument,
 * because `options` of the service would override those of the environment.
 */
export function connectArgument(service: string): string {
  // Quoted for libpq, although the input's schema allows no such character in a service name.
  const quote = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;
  const options = `${endpointOf(service).options} ${startupOptions({})}`.trim();
  return `--dbname=service=${quote(service)} options=${quote(options)}`;
}

/** The environment of a client program: ours, English messages, and a name in pg_stat_activity. */
export function programEnvironment(purpose: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    LC_ALL: 'C',
    PGAPPNAME: `walferry ${purpose}`,
    PGCONNECT_TIMEOUT: process.env['PGCONNECT_TIMEOUT'] ?? '15',
  };
}

function debianFolders(): string[] {
  try {
    return readdirSync(DEBIAN_FOLDER)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => path.join(DEBIAN_FOLDER, version, 'bin'));
  } catch {
    return [];
  }
}

function uniquePrograms(files: readonly string[]): string[] {
  const seen = new Set<string>();
  return files.filter((file) => {
    try {
      accessSync(file, constants.X_OK);
      // Not by its real path: Debian's wrapper is one file that acts as another program under each name.
      const place = path.join(realpathSync(path.dirname(file)), path.basename(file));
      if (seen.has(place)) return false;
      seen.add(place);
      return true;
    } catch {
      return false;
    }
  });
}

async function majorVersion(file: string, env: NodeJS.ProcessEnv): Promise<number | null> {
  try {
    const { stdout } = await run(file, ['--version'], {
      env: { ...env, LC_ALL: 'C' },
      timeout: VERSION_TIMEOUT_MS,
    });
    const major = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1];
    return major === undefined ? null : Number(major);
  } catch {
    // A wrapper without an installed version, or not executable on this machine: the same as absent.
    return null;
  }
}
