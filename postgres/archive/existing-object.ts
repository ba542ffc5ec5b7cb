/**
 * Comments and grants on objects that walferry does not create: a schema `public`, members of extensions, system objects. Only
 * their owner, often a role of the platform, may set them, and another version of an extension may lack the object. walferry
 * sets what its role may set and reports the others as left out: they are no reason to refuse a migration, or to stop one after
 * its rows are copied.
 */
import type pg from 'pg';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { ArchiveEntry } from './archive.ts';

/** The target's version of an extension lacks the member (function, column, table, schema). A missing role would be 42704. */
const MISSING = new Set<string | undefined>([
  SQLSTATE.undefinedFunction,
  SQLSTATE.undefinedColumn,
  SQLSTATE.undefinedTable,
  SQLSTATE.invalidSchemaName,
]);

/** Warnings of GRANT and REVOKE that had no full effect: privilege_not_granted, privilege_not_revoked. */
const NOT_DONE = new Set<string | undefined>(['01007', '01006']);

type Entry = Pick<ArchiveEntry, 'id' | 'kind' | 'schema' | 'name' | 'sql'> & {
  /** What it depends on, whether or not walferry creates that. */
  readonly depends: readonly number[];
};

/** Numbers of the objects that walferry creates. Grants on columns depend on the table and on the table's grants. Pure. */
export function creations(entries: readonly Pick<Entry, 'id' | 'kind'>[]): Set<number> {
  return new Set(entries.flatMap(({ id, kind }) => (kind === 'ACL' ? [] : [id])));
}

/**
 * Numbers of the entries that are comments or grants on objects that walferry does not create. Pure.
 * @param created from {@link creations}: all objects that it creates, or has created.
 */
export function aboutOthers(entries: readonly Entry[], created: ReadonlySet<number>): Set<number> {
  return new Set(
    entries
      .filter(({ kind }) => kind === 'ACL' || kind === 'COMMENT')
      .filter(({ depends }) => !depends.some((id) => created.has(id)))
      .map(({ id }) => id),
  );
}

/**
 * Runs such an entry within the open transaction, which stays usable if it is refused.
 * @returns whether all of it took effect.
 */
export async function carryOver(client: pg.ClientBase, sql: string): Promise<boolean> {
  let warned = false;
  const onNotice = (notice: { code: string | undefined }) => (warned ||= NOT_DONE.has(notice.code));
  client.on('notice', onNotice);
  try {
    await client.query(`savepoint other; ${sql}`);
    await client.query('release savepoint other');
    return !warned;
  } catch (error) {
    const state = sqlstate(error);
    if (state !== SQLSTATE.insufficientPrivilege && !MISSING.has(state)) throw error;
    await client.query('rollback to savepoint other; release savepoint other');
    return false;
  } finally {
    client.off('notice', onNotice);
  }
}

/**
 * Entries on objects that exist on the target and that our role may not run: tried within the open transaction and rolled
 * back. They run late, and this way the first report already names them.
 * @param present numbers of the objects that the target has already.
 */
export async function findRefused<T extends ArchiveEntry>(
  client: pg.ClientBase,
  entries: readonly T[],
  present: ReadonlySet<number>,
): Promise<T[]> {
  const refused: T[] = [];
  for (const entry of entries) {
    if (entry.kind !== 'ACL' && entry.kind !== 'COMMENT') continue;
    if (!entry.dependencies.some((id) => present.has(id))) continue;
    await client.query('savepoint tried');
    try {
      if (!(await carryOver(client, entry.sql))) refused.push(entry);
    } catch (error) {
      // Other errors are reported when the entry runs.
      if (sqlstate(error) === undefined) throw error;
    }
    await client.query('rollback to savepoint tried; release savepoint tried');
  }
  return refused;
}

/** Name of the entry where it is left out: `comment on SCHEMA public`, `grants on SCHEMA public`. */
export function nameOther({
  kind,
  schema,
  name,
}: Pick<ArchiveEntry, 'kind' | 'schema' | 'name'>): string {
  const [, type = '', object = name] = /^([A-Z ]+) (.*)$/s.exec(name) ?? [];
  const place = schema === null || type === 'COLUMN' ? '' : `${schema}.`;
  return `${kind === 'ACL' ? 'grants' : 'comment'} on ${type === '' ? '' : `${type} `}${place}${object}`;
}

/** pg_dump also writes one for a schema `public` without a comment; nothing is lost with it. */
export function isEmptyComment({ kind, sql }: Pick<ArchiveEntry, 'kind' | 'sql'>): boolean {
  return kind === 'COMMENT' && /\sIS (?:''|NULL);$/.test(sql);
}
