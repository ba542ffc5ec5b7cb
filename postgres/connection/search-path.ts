/** Search paths as setting values: lists of names, quoted or not. Pure. */
import pg from 'pg';

const NAME = /"((?:[^"]|"")*)"|([^\s,"]+)/g;
const USER = '$user';

/** Names in order; unquoted ones folded to lower case, as on the server. */
function namesOf(path: string): string[] {
  return [...path.matchAll(NAME)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '').toLowerCase() : quoted.replaceAll('""', '"'),
  );
}

/**
 * The path with `pg_catalog` implicitly first, as if no path named it: our statements then never resolve to an operator or
 * function of the application instead of pg_catalog's.
 * @param user the schema for `"$user"`; null: none.
 */
export function normalPath(path: string, user: string | null): string {
  return namesOf(path)
    .flatMap((name) => (name === USER ? (user ?? []) : name))
    .filter((name) => name !== 'pg_catalog' && name !== '')
    .map((name) => pg.escapeIdentifier(name))
    .join(', ');
}

export function dependsOnRole(path: string): boolean {
  return namesOf(path).includes(USER);
}
