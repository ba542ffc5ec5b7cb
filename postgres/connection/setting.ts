/**
 * Every connection setting of libpq, and how walferry treats it. A service that works in `psql` must either mean the same here or
 * be refused by name: a silently ignored setting could connect to another server, or with less protection than intended.
 *
 * Three kinds: `taken` settings are honoured; `harmless` ones change neither where we connect nor how safely; any other value is
 * refused.
 */

/** Honoured settings, with libpq's environment variable for each (the service takes precedence). */
export const TAKEN = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  dbname: 'PGDATABASE',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  passfile: 'PGPASSFILE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslpassword: null,
  sslcrl: 'PGSSLCRL',
  sslsni: 'PGSSLSNI',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  application_name: 'PGAPPNAME',
  fallback_application_name: null,
  options: 'PGOPTIONS',
} as const satisfies Record<string, string | null>;

export type TakenKey = keyof typeof TAKEN;
export type ServiceSettings = Readonly<Partial<Record<TakenKey, string>>>;

interface Harmless {
  /** Values that change nothing; null: any value. */
  readonly values: readonly string[] | null;
  readonly env?: string;
}

const ANY: Harmless = { values: null };

/** Settings without effect here if they have one of these values. */
const HARMLESS: Readonly<Record<string, Harmless>> = {
  // Keepalives are always on, with our intervals.
  keepalives: ANY,
  keepalives_idle: ANY,
  keepalives_interval: ANY,
  keepalives_count: ANY,
  tcp_user_timeout: ANY,
  // Always UTF8, so that text is the same on both sides.
  client_encoding: ANY,
  sslcompression: ANY,
  // Never used: this client has no Kerberos. Only `require` would be a promise that we break.
  gssencmode: { values: ['disable', 'prefer'], env: 'PGGSSENCMODE' },
  krbsrvname: ANY,
  gsslib: ANY,
  gssdelegation: ANY,
  channel_binding: { values: ['disable', 'prefer'], env: 'PGCHANNELBINDING' },
  target_session_attrs: { values: ['any'], env: 'PGTARGETSESSIONATTRS' },
  load_balance_hosts: { values: ['disable'], env: 'PGLOADBALANCEHOSTS' },
  sslnegotiation: { values: ['postgres'], env: 'PGSSLNEGOTIATION' },
  sslcertmode: { values: ['allow'], env: 'PGSSLCERTMODE' },
  require_auth: { values: [''], env: 'PGREQUIREAUTH' },
  requirepeer: { values: [''], env: 'PGREQUIREPEER' },
  sslcrldir: { values: [''], env: 'PGSSLCRLDIR' },
  requiressl: { values: ['', '0'] },
  replication: { values: ['', '0', 'off', 'no', 'false'] },
};

export function isTaken(key: string): key is TakenKey {
  return Object.hasOwn(TAKEN, key);
}

/** Why a setting cannot be honoured, or null when it can be ignored. */
export function refusal(key: string, value: string): string | null {
  const known = Object.hasOwn(HARMLESS, key) ? HARMLESS[key] : undefined;
  if (!known) return `"${key}" is not supported by walferry`;
  if (known.values === null || known.values.includes(value)) return null;
  const allowed = known.values.map((one) => (one === '' ? 'empty' : one)).join(' or ');
  return `"${key}" is supported only as ${allowed}`;
}

/** An environment variable that changes how `psql` connects, in a way that cannot be honoured; null: none. */
export function refusedVariable(env: NodeJS.ProcessEnv, given: ReadonlySet<string>): string | null {
  for (const [key, { env: variable, values }] of Object.entries(HARMLESS)) {
    if (variable === undefined || given.has(key)) continue;
    const value = env[variable];
    if (value !== undefined && value !== '' && values?.includes(value) === false) {
      return `${variable} in the worker's environment: ${refusal(key, value) ?? ''}`;
    }
  }
  return null;
}

/** An empty setting means the default, as in libpq. */
export function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
