/** Collations of columns, which the versions of PostgreSQL spell differently (catalog/collation-difference.ts). */
import pg from 'pg';
import type { Difference } from '../../contract/definition.ts';
import { compareCollations } from '../catalog/collation-difference.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { keyOfName, nameOf, quoted } from '../catalog/table-name.ts';
import type { Session } from '../session/session.ts';
import type { Scope } from './scope.ts';

const TABLES_AT_ONCE = 2_000;

export async function collationDifferences(
  { target }: { readonly target: Session },
  { tables }: Scope,
): Promise<Difference[]> {
  const found: Difference[] = [];
  for (let at = 0; at < tables.length; at += TABLES_AT_ONCE) {
    const some = tables.slice(at, at + TABLES_AT_ONCE);
    const byName = new Map(some.map((table) => [keyOfName(table), table]));
    for (const { schema, table, column, what } of compareCollations(
      some,
      await readRelationsNamed(target, some),
    )) {
      const place = { schema, name: table };
      const own = byName.get(keyOfName(place))?.columns.find(({ name }) => name === column);
      const collate = own?.collation
        ? ` collate ${own.collation.name}`
        : ' collate pg_catalog."default"';
      const run = own
        ? `alter table ${quoted(place)} alter column ${pg.escapeIdentifier(own.name)} type ${own.typeName}${collate};`
        : undefined;
      found.push({
        object: `${nameOf(place)}: column ${column ?? ''}`,
        what,
        ...(run === undefined ? {} : { run }),
      });
    }
  }
  return found;
}
