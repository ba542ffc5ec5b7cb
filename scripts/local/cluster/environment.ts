/** The files that point a person's tools to the local servers: `.local/env`, the service file and the password file. */
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { LOOPBACK } from './port.ts';
import { DATABASE, ROLE, SIDES } from './settings.ts';
import type { Side } from './settings.ts';

export interface EnvironmentFacts {
  /** Folders to put before the PATH. */
  readonly programs: readonly string[];
  readonly ports: Readonly<Record<Side | 'temporal', number>>;
  readonly passwords: Readonly<Record<Side, string>>;
}

/** Where the files of a `.local` folder are. */
export function environmentFiles(local: string): { env: string; services: string; passes: string } {
  return {
    env: path.join(local, 'env'),
    services: path.join(local, 'pg_service.conf'),
    passes: path.join(local, 'pgpass'),
  };
}

/** The variables of the environment file; PATH holds only what precedes the current one. */
export function environmentVariables(
  local: string,
  facts: Pick<EnvironmentFacts, 'programs' | 'ports'>,
): Record<'PATH' | 'TEMPORAL_ADDRESS' | 'PGSERVICEFILE' | 'PGPASSFILE', string> {
  const files = environmentFiles(local);
  return {
    PATH: [...new Set(facts.programs)].join(path.delimiter),
    TEMPORAL_ADDRESS: `${LOOPBACK}:${facts.ports.temporal}`,
    PGSERVICEFILE: files.services,
    PGPASSFILE: files.passes,
  };
}

/** Writes the three files where their content changed. */
export function writeEnvironment(local: string, facts: EnvironmentFacts): void {
  const files = environmentFiles(local);
  const exports = Object.entries(environmentVariables(local, facts)).map(([name, value]) => {
    // Single quotes, because the checkout's path may contain anything, such as spaces.
    const quoted = `'${value.replaceAll("'", String.raw`'\''`)}'`;
    return name === 'PATH' ? `export PATH=${quoted}:"$PATH"` : `export ${name}=${quoted}`;
  });
  const services = SIDES.map((side) =>
    [
      `[${side}]`,
      `host=${LOOPBACK}`,
      `port=${facts.ports[side]}`,
      `dbname=${DATABASE}`,
      `user=${ROLE}`,
      '',
    ].join('\n'),
  );
  const passes = SIDES.map(
    (side) => `${LOOPBACK}:${facts.ports[side]}:*:${ROLE}:${facts.passwords[side]}`,
  );
  // libpq ignores a password file that others may read.
  update(files.passes, passes.join('\n') + '\n', 0o600);
  update(files.services, '# Written by set-up and cluster.\n' + services.join('\n'), 0o644);
  update(
    files.env,
    '# Written by set-up and cluster, to be read by a shell: . FILE\n' + exports.join('\n') + '\n',
    0o644,
  );
}

function update(file: string, text: string, mode: number): void {
  try {
    if (readFileSync(file, 'utf8') === text) return;
  } catch {
    // Not there yet.
  }
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, text, { mode });
  chmodSync(fresh, mode);
  renameSync(fresh, file);
}
