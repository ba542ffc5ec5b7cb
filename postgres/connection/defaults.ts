/**
 * The defaults of the application's sessions in a database: generated columns, checks, expression indexes and materialized views
 * are evaluated under them. Our sessions print and parse values under pinned settings (pinned.ts), so these defaults are
 * restored, per transaction, wherever the target evaluates expressions.
 *
 * Role settings of our login are ignored; those of a table's owner count.
 */
import type pg from 'pg';
import { EVALUATED, EVALUATED_IN_QUERIES, PINNED } from './pinned.ts';
import { dependsOnRole, normalPath } from './search-path.ts';
import { connect, type Purpose } from './connect.ts';

/** Values by name, for one transaction. */
export type Settings = ReadonlyMap<string, string>;

/** Not pinned, because nothing that we read or print depends on them; our role may still override them. */
const FURTHER = ['default_text_search_config', 'xmlbinary', 'lc_time', 'lc_numeric'] as const;

/** `pg_settings.source` of values that are the same for every role and database. */
const OF_THE_SERVER = new Set([
  'default',
  'environment variable',
  'configuration file',
  'command line',
]);

interface SettingRow {
  name: string;
  setting: string;
  source: string;
  boot_val: string | null;
}

interface EntryRow {
  /** Empty: all roles. */
  role: string;
  here: boolean;
  config: string[];
}

/** By lower-case name. */
type Values = Map<string, string>;

interface Entry {
  readonly role: string | null;
  readonly values: Values;
}

export class Defaults {
  readonly #server: Values;
  /** Strongest first; role null: all roles. */
  readonly #entries: readonly Entry[];
  readonly #own: string;
  readonly #schemas: ReadonlySet<string>;
  readonly #owners = new Map<string, string | null>();
  readonly #known = new Map<string, Settings>();
  /** By content: equal settings share one object, so that comparing them is cheap. */
  readonly #same = new Map<string, Settings>();

  private constructor(
    server: Values,
    entries: readonly Entry[],
    own: string,
    schemas: ReadonlySet<string>,
  ) {
    this.#server = server;
    this.#entries = entries;
    this.#own = own;
    this.#schemas = schemas;
  }

  /**
   * Reads them, over a separate short session without pinned settings.
   * @param client a session of the service that is outside a transaction, or in one that must not fail.
   * @throws the server's errors; MigrationError as `connect`.
   */
  static async read(service: string, purpose: Purpose, client: pg.ClientBase): Promise<Defaults> {
    const entries = await client.query<EntryRow>(/* sql */ `
      select coalesce(r.rolname, '') as role, s.setdatabase <> 0 as here, s.setconfig as config
        from pg_catalog.pg_db_role_setting s left join pg_catalog.pg_roles r on r.oid = s.setrole
       where s.setdatabase = 0 or s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())`);
    const own = await client.query<{ login: string; schemas: string[] }>(/* sql */ `
      select session_user as login,
             array(select n.nspname::text from pg_catalog.pg_namespace n join pg_catalog.pg_roles r on r.rolname = n.nspname) as schemas`);
    const { login = '', schemas = [] } = own.rows[0] ?? {};
    const strength = ({ role, here }: EntryRow) => (role === '' ? 0 : 2) + (here ? 1 : 0);
    return new Defaults(
      await readServer(service, purpose, client),
      entries.rows
        .sort((a, b) => strength(b) - strength(a))
        .map(({ role, config }) => ({ role: role === '' ? null : role, values: valuesOf(config) })),
      login,
      new Set(schemas),
    );
  }

  /** Whether both give the same settings for every table, including tables not queried yet. */
  equals(other: Defaults): boolean {
    return this.#content() === other.#content();
  }

  #content(): string {
    const entries = this.#entries.map(({ role, values }) =>
      JSON.stringify([role, [...values].sort()]),
    );
    return JSON.stringify([
      [...this.#server].sort(),
      entries.sort(),
      this.#own,
      [...this.#schemas].sort(),
    ]);
  }

  /**
   * The settings that expressions of this owner's tables are evaluated under. `queries` includes what is pinned wherever texts
   * are read, for a query that reads no text of ours.
   * @param owner null: no particular role.
   */
  settings(owner: string | null, what: 'rows' | 'queries' = 'rows'): Settings {
    const key = `${what} ${owner ?? ''}`;
    let known = this.#known.get(key);
    if (!known) {
      const settings = this.#settings(owner, what);
      const content = JSON.stringify([...settings]);
      known = this.#same.get(content) ?? settings;
      this.#same.set(content, known);
      this.#known.set(key, known);
    }
    return known;
  }

  /** The settings for a table, by its quoted name. */
  async forTable(
    client: pg.ClientBase,
    table: string,
    what?: 'rows' | 'queries',
  ): Promise<Settings> {
    if (!this.#ownersMatter()) return this.settings(null, what);
    let owner = this.#owners.get(table);
    if (owner === undefined) {
      const { rows } = await client.query<{ owner: string }>(
        /* sql */ `
        select pg_catalog.pg_get_userbyid(c.relowner) as owner from pg_catalog.pg_class c
         where c.oid operator(pg_catalog.=) pg_catalog.to_regclass($1)`,
        [table],
      );
      owner = rows[0]?.owner ?? null;
      this.#owners.set(table, owner);
    }
    return this.settings(owner, what);
  }

  #settings(owner: string | null, what: 'rows' | 'queries'): Settings {
    const pinned: readonly string[] = what === 'rows' ? EVALUATED : EVALUATED_IN_QUERIES;
    const counting = this.#entries.filter(({ role }) => role === null || role === owner);
    // Our login's custom settings too: one that the application does not have must not apply here.
    const custom = [...counting, ...this.#entries.filter(({ role }) => role === this.#own)]
      .flatMap(({ values }) => [...values.keys()])
      .filter((name) => name.includes('.'));
    const settings = new Map<string, string>();
    for (const name of new Set([...pinned, ...FURTHER, ...custom])) {
      const low = name.toLowerCase();
      const entry = counting.find(({ values }) => values.has(low));
      const value =
        entry?.values.get(low) ?? this.#server.get(low) ?? (low.includes('.') ? '' : null);
      if (value === null) continue;
      settings.set(
        name,
        low === 'search_path' ? normalPath(value, this.#userSchema(owner)) : value,
      );
    }
    return settings;
  }

  /** The schema of `"$user"` for the owner. Never our control schema, which a role named like it would have on its path. */
  #userSchema(owner: string | null): string | null {
    return owner !== null && owner !== 'walferry' && this.#schemas.has(owner) ? owner : null;
  }

  #ownersMatter(): boolean {
    if (this.#entries.some(({ role }) => role !== null && role !== this.#own)) return true;
    const entry = this.#entries.find(
      ({ role, values }) => role === null && values.has('search_path'),
    );
    const path = entry?.values.get('search_path') ?? this.#server.get('search_path') ?? '';
    return this.#schemas.size > 0 && dependsOnRole(path);
  }
}

/**
 * Which of the names `w` this session may set now. A loaded library may restrict its parameters to superusers or grantees (15 and
 * later), and may reject other names with its prefix. Omitted names keep the value that the session started with, which is the
 * database's: setting that needs no privilege of ours. Queried each time, because a function may load a library.
 */
const settable = (granted: string) => /* sql */ `
  case when s.name is null then
    pg_catalog.strpos(w.name, '.') operator(pg_catalog.=) 0 or pg_catalog.current_setting(w.name, true) is not null
    or not exists (select from pg_catalog.pg_settings o
                    where pg_catalog.lower(pg_catalog.split_part(o.name, '.', 1)) operator(pg_catalog.=) pg_catalog.lower(pg_catalog.split_part(w.name, '.', 1))
                      and pg_catalog.strpos(o.name, '.') operator(pg_catalog.>) 0)
  when s.vartype operator(pg_catalog.<>) 'string' and w.value operator(pg_catalog.=) '' then false
  when s.context operator(pg_catalog.=) 'superuser' then
    pg_catalog.current_setting('is_superuser') operator(pg_catalog.=) 'on' or ${granted}
  else s.context operator(pg_catalog.=) 'user' end`;
const KNOWS_GRANTS = new WeakMap<pg.ClientBase, boolean>();

/** Whether some of the settings may need a privilege: see {@link setFor}. */
export function isCustomized(settings: Settings): boolean {
  return [...settings.keys()].some((name) => name.includes('.'));
}

/** Applies these settings to the transaction or the session, except those that its role may not set. */
export async function setFor(
  scope: 'transaction' | 'session',
  client: pg.ClientBase,
  settings: Settings,
): Promise<void> {
  const given = [[...settings.keys()], [...settings.values()], scope === 'transaction'];
  const names = /* sql */ `unnest($1::text[], $2::text[]) as w (name, value)`;
  // Any role may set the built-in settings that we set.
  if (!isCustomized(settings)) {
    await client.query(
      /* sql */ `select pg_catalog.set_config(w.name, w.value, $3) from ${names}`,
      given,
    );
    return;
  }
  const granted = (await knowsGrants(client))
    ? `pg_catalog.has_parameter_privilege(s.name, 'set')`
    : 'false';
  // Materialized: first decide what may be set, then set it, because the view shows changes at once.
  await client.query(
    /* sql */ `
    with mine as materialized (
      select w.name, w.value
        from ${names}
        left join pg_catalog.pg_settings s on pg_catalog.lower(s.name) operator(pg_catalog.=) pg_catalog.lower(w.name)
       where ${settable(granted)})
    select pg_catalog.set_config(name, value, $3) from mine`,
    given,
  );
}

async function knowsGrants(client: pg.ClientBase): Promise<boolean> {
  let known = KNOWS_GRANTS.get(client);
  if (known === undefined) {
    const { rows } = await client.query<{ known: boolean }>(/* sql */ `
      select pg_catalog.current_setting('server_version_num')::pg_catalog.int4 operator(pg_catalog.>=) 150000 as known`);
    known = rows[0]?.known === true;
    KNOWS_GRANTS.set(client, known);
  }
  return known;
}

/** The pinned values of the same settings, to undo {@link setFor} within a transaction. */
export const PINNED_FOR_ROWS: Settings = new Map(
  EVALUATED.map((name): [string, string] => [name, PINNED[name] ?? '']),
);

/** Whether two values of a column may print alike under these settings: then their texts do not identify a row. */
export function printsInexactly(settings: Settings): boolean {
  return (
    Number(settings.get('extra_float_digits') ?? '1') < 1 ||
    // Other styles print a time zone by its abbreviation, which may mean two offsets.
    !(settings.get('DateStyle') ?? 'ISO').startsWith('ISO')
  );
}

/**
 * Values that do not come from a role or database. What a role or database setting hides is read from the configuration file,
 * which requires a privilege; without it the session's own value is used.
 */
async function readServer(
  service: string,
  purpose: Purpose,
  client: pg.ClientBase,
): Promise<Values> {
  await using plain = await connect(service, purpose, { withServerDefaults: true });
  // Without an operator: this session uses its role's search path, which may contain one of the same name.
  const { rows } = await plain.query<SettingRow>(
    /* sql */ `select name, setting, source, boot_val from pg_catalog.pg_settings`,
  );
  const unsure = rows.some(({ source }) => !OF_THE_SERVER.has(source));
  const file = unsure ? await readFile(client) : null;
  return new Map(
    rows.map(({ name, setting, source, boot_val }) => {
      const low = name.toLowerCase();
      if (OF_THE_SERVER.has(source) || file === null) return [low, setting];
      return [low, file.get(low) ?? boot_val ?? setting];
    }),
  );
}

async function readFile(client: pg.ClientBase): Promise<Values | null> {
  const { rows } = await client.query<{ allowed: boolean }>(/* sql */ `
    select pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'select')
           and pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'execute') as allowed`);
  if (rows[0]?.allowed !== true) return null;
  const file = await client.query<{ name: string; setting: string }>(/* sql */ `
    select name, setting from pg_catalog.pg_file_settings where applied and name is not null and setting is not null`);
  return new Map(file.rows.map(({ name, setting }) => [name.toLowerCase(), setting]));
}

function valuesOf(config: readonly string[]): Values {
  return new Map(
    config.map((entry) => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at).toLowerCase(), entry.slice(at + 1)];
    }),
  );
}
