/**
 * Tables that are copied once because the operator accepts it. The target's are unlogged, too: a crash there empties them, and
 * nothing else would say so.
 */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input.ts';
import { ignoredAmong } from '../catalog/ignored.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/root.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { underAnyPath } from '../connection/planning.ts';

type Sides = Readonly<Record<'source' | 'target', pg.ClientBase>>;

/**
 * What the closing summary says of them: sentences without a full stop, the emptied ones first.
 * @param relations the selected tables of the source.
 * @param told called after each table that was looked at.
 */
export async function unloggedRows(
  { source, target }: Sides,
  relations: readonly Relation[],
  input: MigrationInput,
  told: () => void = () => undefined,
): Promise<string[]> {
  const { unlogged } = ignoredAmong(relations, input.ignore);
  const tables = relations.filter(
    (one) => one.kind === 'r' && one.persistence === 'u' && unlogged(one),
  );
  const emptied = new Set<string>();
  for (const table of tables) {
    told();
    if (await hasRows(target, destinationOf(table), table.viaRoot !== null)) continue;
    if (await hasRows(source, table, false)) emptied.add(nameOf(table));
  }
  const said = (one: Relation): string =>
    emptied.has(nameOf(one))
      ? `${nameOf(one)}: EMPTY on the target, not on the source (unlogged: a crash of the target after its copy empties it)`
      : `${nameOf(one)}: rows are as of its copy (unlogged: later changes are missing)`;
  const first = tables.filter((one) => emptied.has(nameOf(one)));
  return [...first, ...tables.filter((one) => !emptied.has(nameOf(one)))].map(said);
}

/** Row security must not make a table look empty: then it is an error. */
async function hasRows(client: pg.ClientBase, table: TableName, whole: boolean): Promise<boolean> {
  await client.query(/* sql */ `set row_security = off`);
  const { rows } = await underAnyPath(client, () =>
    client.query<{ filled: boolean }>(
      /* sql */ `select exists (select from ${whole ? '' : 'only '}${quoted(table)}) as filled`,
    ),
  );
  return rows[0]?.filled === true;
}
