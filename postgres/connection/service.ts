/**
 * PostgreSQL services as libpq reads them: `pg_service.conf` names the database, `PGPASSFILE` holds the password.
 * The same name works in `psql service=NAME`, in `pg_dump` and here.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { MigrationError } from '../../contract/failure.ts';

export type ServiceSettings = Readonly<Record<string, string>>;

/** Files in libpq's order: the user's file, then the system's. */
export function serviceFiles(env: NodeJS.ProcessEnv = process.env): string[] {
  const files = [env['PGSERVICEFILE'] ?? path.join(homedir(), '.pg_service.conf')];
  if (env['PGSYSCONFDIR'] !== undefined) {
    files.push(path.join(env['PGSYSCONFDIR'], 'pg_service.conf'));
  } else {
    files.push('/etc/postgresql-common/pg_service.conf');
  }
  return files;
}

/**
 * The settings of a service.
 * @throws MigrationError `UnknownService`, naming the files that were looked at.
 */
export function readService(name: string, env: NodeJS.ProcessEnv = process.env): ServiceSettings {
  const files = serviceFiles(env);
  for (const file of files) {
    const settings = section(textOf(file), name);
    if (settings) return settings;
  }
  throw new MigrationError(
    'UnknownService',
    `the worker knows no PostgreSQL service "${name}"; looked in ${files.join(' and ')}`,
    { object: name },
  );
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function section(text: string, name: string): ServiceSettings | undefined {
  let found: Record<string, string> | undefined;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (found) return found;
      if (line === `[${name}]`) found = {};
    } else if (found) {
      const equals = line.indexOf('=');
      if (equals > 0) found[line.slice(0, equals)] = line.slice(equals + 1);
    }
  }
  return found;
}
