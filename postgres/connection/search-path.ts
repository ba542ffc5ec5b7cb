/** Search paths as settings hold them: a list of names, quoted or not. Pure. */
import pg from 'pg';

const NAME = /"((?:[^"]|"")*)"|([^\s,"]+)/g;
const USER = '$user';

/** Names in order; those without quotes in lower case, as the server takes them. */
function namesOf(path: string): string[] {
  return [...path.matchAll(NAME)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '').toLowerCase() : quoted.replaceAll('""', '"'),
  );
}

/**
 * The path with `pg_catalog` before everything else, as if no path named it: an operator or function of the
 * application is then never taken for one of pg_catalog's by a statement of ours.
 * @param user the schema that `"$user"` stands for; null: for none.
 */
export function normalPath(path: string, user: string | null): string {
  return namesOf(path)
    .flatMap((name) => (name === USER ? (user ?? []) : name))
    .filter((name) => name !== 'pg_catalog' && name !== '')
    .map((name) => pg.escapeIdentifier(name))
    .join(', ');
}

/** Whether what the path means depends on the role. */
export function dependsOnRole(path: string): boolean {
  return namesOf(path).includes(USER);
}
