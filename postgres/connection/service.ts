/**
 * PostgreSQL services as libpq resolves them: settings from the service file, then libpq's environment variables (PGHOST …), then
 * libpq's defaults. The same name works in `psql service=NAME`, in `pg_dump` and here.
 *
 * Messages name the service, the file, the line and the key, but never a value: it may be a misplaced password.
 */
import {
  nonEmpty,
  isTaken,
  refusal,
  refusedVariable,
  TAKEN,
  type ServiceSettings,
  type TakenKey,
} from './setting.ts';
import { existsSync } from 'node:fs';
import { MigrationError } from '../../contract/failure.ts';
import { systemUser } from './home.ts';
import { findSection } from './service-file.ts';

export { serviceFiles } from './service-file.ts';
export type { ServiceSettings } from './setting.ts';

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

/** A service with every default filled in. */
export interface Endpoint {
  readonly service: string;
  readonly host: string;
  /** The address to connect to; `host` is then only the name for the certificate and the password file. */
  readonly hostaddr: string | null;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly sslmode: SslMode;
  readonly connectTimeoutMs: number;
  readonly applicationName: string | null;
  readonly options: string;
  readonly settings: ServiceSettings;
}

/**
 * The settings of a service, completed by environment variables.
 * @throws MigrationError `UnknownService`, naming the searched files; `InvalidService`, naming file, line and key.
 */
export function readService(name: string, env: NodeJS.ProcessEnv = process.env): ServiceSettings {
  const { file, lines } = findSection(name, env);
  const settings: Partial<Record<TakenKey, string>> = {};
  for (const { key, value, line } of lines) {
    if (isTaken(key)) {
      settings[key] ??= value;
      continue;
    }
    const reason = refusal(key, value);
    if (reason !== null) throw invalid(name, `line ${line} of ${file}: ${reason}`);
  }
  const variable = refusedVariable(env, new Set(lines.map(({ key }) => key)));
  if (variable !== null) throw invalid(name, variable);
  for (const [key, from] of Object.entries(TAKEN)) {
    if (!isTaken(key) || from === null) continue;
    const value = env[from];
    if (value !== undefined && value !== '') settings[key] ??= value;
  }
  return settings;
}

/**
 * The service as an endpoint: parsed and validated, with libpq's defaults.
 * @throws MigrationError as {@link readService}.
 */
export function endpointOf(name: string, env: NodeJS.ProcessEnv = process.env): Endpoint {
  const settings = readService(name, env);
  for (const key of ['host', 'hostaddr', 'port'] as const) {
    if (settings[key]?.includes(',')) {
      throw invalid(name, `"${key}" lists several servers; name the one to connect to`);
    }
  }
  const port = integer(name, 'port', settings.port, 5432, 1, 65_535);
  const user = nonEmpty(settings.user) ?? systemUser();
  const host = nonEmpty(settings.host) ?? nonEmpty(settings.hostaddr) ?? defaultHost(port);
  if (host.startsWith('@'))
    throw invalid(name, '"host" is an abstract Unix socket, which walferry does not support');
  const seconds = integer(name, 'connect_timeout', settings.connect_timeout, 0, -1, 2_000_000);
  return {
    service: name,
    host,
    hostaddr: nonEmpty(settings.hostaddr) ?? null,
    port,
    user,
    database: nonEmpty(settings.dbname) ?? user,
    sslmode: sslMode(name, settings),
    connectTimeoutMs: Math.max(0, seconds) * 1000,
    applicationName:
      nonEmpty(settings.application_name) ?? nonEmpty(settings.fallback_application_name) ?? null,
    options: settings.options ?? '',
    settings,
  };
}

/** An error about a service's settings; the text must not contain a value. */
export function invalid(service: string, reason: string, cause?: unknown): MigrationError {
  return new MigrationError(
    'InvalidService',
    `service "${service}": ${reason}`,
    { object: service },
    cause,
  );
}

function sslMode(name: string, settings: ServiceSettings): SslMode {
  const system = settings.sslrootcert === 'system';
  const given = nonEmpty(settings.sslmode);
  // libpq 16 and later: the system's roots vouch for any public name, so nothing weaker is allowed with them.
  if (system && given !== undefined && given !== 'verify-full') {
    throw invalid(name, '"sslrootcert" is system, which needs "sslmode" verify-full');
  }
  const mode = SSL_MODES.find((one) => one === (given ?? (system ? 'verify-full' : 'prefer')));
  if (!mode) throw invalid(name, `"sslmode" must be one of ${SSL_MODES.join(', ')}`);
  return mode;
}

function integer(
  name: string,
  key: TakenKey,
  text: string | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  const trimmed = text?.trim();
  if (trimmed === undefined || trimmed === '') return fallback;
  const value = Number(trimmed);
  if (!/^[+-]?\d+$/.test(trimmed) || value < least || value > most) {
    throw invalid(name, `"${key}" must be a whole number from ${least} to ${most}`);
  }
  return value;
}

/** libpq's default is a compiled-in folder; these two are the common ones. */
function defaultHost(port: number): string {
  const folders = ['/var/run/postgresql', '/tmp'];
  return folders.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? 'localhost';
}
