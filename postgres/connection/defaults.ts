/**
 * The defaults of the application's sessions in a database: generated columns, checks, expression indexes and materialized views
 * are evaluated under them. Our sessions print and parse values under pinned settings (pinned.ts), so these defaults are
 * restored, per transaction, wherever the target evaluates expressions.
 *
 * Role settings of our login are ignored; those of a table's owner count.
 */
import type pg from 'pg';
import type { Settings } from './apply-settings.ts';
import { EVALUATED, EVALUATED_IN_QUERIES } from './pinned.ts';
import { dependsOnRole, normalPath } from './search-path.ts';
import type { Purpose } from './connect.ts';
import { readServer, type Values } from './server-value.ts';

/** Not pinned, because nothing that we read or print depends on them; our role may still override them. */
const FURTHER = ['default_text_search_config', 'xmlbinary', 'lc_time', 'lc_numeric'] as const;

interface EntryRow {
  role: string;
  here: boolean;
  config: string[];
}

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

function valuesOf(config: readonly string[]): Values {
  return new Map(
    config.map((entry) => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at).toLowerCase(), entry.slice(at + 1)];
    }),
  );
}
