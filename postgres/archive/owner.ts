/**
 * Assigns objects to their owners. PostgreSQL requires that the new owner has CREATE on the object's schema at that moment, but
 * pg_dump's grants come last. An owner without CREATE therefore gets it temporarily, and loses exactly that.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { ArchiveEntry } from './archive.ts';

/** The statement at the end of a pg_dump entry whose object has an owner. */
const OWNER = /\nALTER [^;]* OWNER TO ("(?:[^"]|"")+"|[^\s";]+);$/;

export interface OwnedSql {
  /** All statements before it. */
  readonly made: string;
  /** `ALTER … OWNER TO …;`, or null where the entry has none. */
  readonly handed: string | null;
  /** The new owner's name, unquoted. */
  readonly owner: string | null;
}

/** Splits off an entry's last statement if it sets the owner. Pure. */
export function splitOwner(sql: string): OwnedSql {
  const at = sql.lastIndexOf('\nALTER ');
  const [handed, name] = at < 0 ? [] : (OWNER.exec(sql.slice(at)) ?? []);
  if (handed === undefined || name === undefined) return { made: sql, handed: null, owner: null };
  const owner = name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
  return { made: sql.slice(0, at), handed: handed.trim(), owner };
}

/** The statement that grants the owner the required privilege. */
export function grantCreate(schema: string, owner: string): string {
  return `grant create on schema ${pg.escapeIdentifier(schema)} to ${pg.escapeIdentifier(owner)}`;
}

interface Pair {
  readonly schema: string;
  readonly owner: string;
}

/** Temporary privileges of owners, within one transaction. */
export class OwnerRights {
  readonly #client: pg.ClientBase;
  readonly #granted: Pair[] = [];
  readonly #checked = new Set<string>();

  constructor(client: pg.ClientBase) {
    this.#client = client;
  }

  /**
   * Grants the new owner of an entry's object CREATE on its schema, if it lacks that.
   * @throws MigrationError `Denied` with the statement to run, when our role may not grant it.
   */
  async lend(entry: Pick<ArchiveEntry, 'schema' | 'sql'>): Promise<void> {
    const { owner } = splitOwner(entry.sql);
    if (owner === null || entry.schema === null) return;
    const pair = { schema: entry.schema, owner };
    const key = JSON.stringify(pair);
    if (this.#checked.has(key)) return;
    if (await this.#lacks(pair)) {
      await this.#grant(pair);
      this.#granted.push(pair);
    }
    this.#checked.add(key);
  }

  /** Call it before the archive's own grants, which may name the same role, and at the end of the transaction. */
  async takeBack(): Promise<void> {
    for (const { schema, owner } of this.#granted.splice(0)) {
      await this.#client.query(
        /* sql */ `revoke create on schema ${pg.escapeIdentifier(schema)} from ${pg.escapeIdentifier(owner)}`,
      );
    }
    this.#checked.clear();
  }

  /** A superuser needs no grant; for a missing role the statement itself fails. */
  async #lacks({ schema, owner }: Pair): Promise<boolean> {
    const { rowCount } = await this.#client.query(
      /* sql */ `
      select from pg_catalog.pg_namespace n join pg_catalog.pg_roles r on r.rolname = $2
       where n.nspname = $1 and not pg_catalog.has_schema_privilege(r.oid, n.oid, 'create')
         and not (select rolsuper from pg_catalog.pg_roles where rolname = current_user)`,
      [schema, owner],
    );
    return (rowCount ?? 0) > 0;
  }

  async #grant(pair: Pair): Promise<void> {
    const refused = new MigrationError(
      'Denied',
      `objects in schema ${pair.schema} of the target cannot be assigned to their owner ${pair.owner}, which lacks CREATE on it, and the migration's role may not grant it; on the target, as the schema's owner, run: ${grantCreate(pair.schema, pair.owner)};`,
      { object: pair.schema, sqlstate: SQLSTATE.insufficientPrivilege },
    );
    try {
      await this.#client.query(grantCreate(pair.schema, pair.owner));
    } catch (error) {
      throw sqlstate(error) === SQLSTATE.insufficientPrivilege ? refused : error;
    }
    // Without the grant option the server only warns.
    if (await this.#lacks(pair)) throw refused;
  }
}
