/** Where the client programs are: on the PATH, or where Debian's packages put those of each server version. */
import { accessSync, constants, readdirSync } from 'node:fs';
import path from 'node:path';
import { MigrationError } from '../../contract/failure.ts';

const DEBIAN_FOLDER = '/usr/lib/postgresql';

/**
 * The path of `pg_dump` or `pg_restore`: the first on the PATH, otherwise the newest installed version.
 * @throws MigrationError `SchemaFailed` when there is none.
 */
export function clientProgram(name: 'pg_dump' | 'pg_restore'): string {
  const onPath = (process.env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  for (const folder of [...onPath, ...versions()]) {
    const program = path.join(folder, name);
    if (isExecutable(program)) return program;
  }
  throw new MigrationError(
    'SchemaFailed',
    `the worker has no ${name}: install PostgreSQL's client programs or put them on its PATH`,
    { object: name },
  );
}

function versions(): string[] {
  try {
    return readdirSync(DEBIAN_FOLDER)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => path.join(DEBIAN_FOLDER, version, 'bin'));
  } catch {
    return [];
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
