/**
 * The configuration file of a local server. It is next to PostgreSQL's own and is written at every start, because the
 * settings that a server knows depend on its minor release.
 */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { give, serverAccount } from './account.ts';
import { LOOPBACK } from './port.ts';
import type { PostgresSpec } from './postgres-spec.ts';
import { OUTPUT_PLUGIN_LIBRARIES } from './settings.ts';

/** Name of the file in the data folder; `alter system` still overrides it. */
export const CONFIGURATION = 'walferry.conf';

/** Without these a crash of the machine may corrupt the data; a crash of the server does not. */
const THROW_AWAY = { fsync: 'off', full_page_writes: 'off' };

/** Writes the settings of a stopped server. */
export function writeConfiguration(spec: PostgresSpec, dataFolder: string): void {
  const settings: Record<string, string> = {
    listen_addresses: LOOPBACK,
    unix_socket_directories: '',
    ...(spec.durable ? {} : THROW_AWAY),
    ...spec.settings,
  };
  const file = path.join(dataFolder, CONFIGURATION);
  // The probe must not read the file of an earlier start: with a setting that this release lacks, every probe would fail.
  rmSync(file, { force: true });
  if (knows(spec, dataFolder, 'output_plugin_libraries')) {
    settings['output_plugin_libraries'] ??= OUTPUT_PLUGIN_LIBRARIES;
  }
  const lines = Object.entries(settings).map(
    ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`,
  );
  writeFileSync(file, '# Written at every start.\n' + lines.join('\n') + '\n');
  give(file, serverAccount());
}

/** Without the user's own PG… and LC_… variables, which would affect the server (PGDATA, PGOPTIONS, a missing locale). */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('PG') && !name.startsWith('LC_') && name !== 'LANG',
  );
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}

/** True when this server's programs know the setting. */
function knows(spec: PostgresSpec, dataFolder: string, setting: string): boolean {
  const outcome = spawnSync(
    path.join(spec.programs, 'postgres'),
    ['-C', setting, '-D', dataFolder],
    { ...serverAccount(), cwd: '/', env: serverEnvironment(), stdio: 'ignore' },
  );
  return outcome.status === 0;
}
