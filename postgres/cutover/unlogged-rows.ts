/**
 * Ignored unlogged tables, which are only copied once. They are unlogged on the target, too: a crash there empties them silently.
 */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { ignoredAmong } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { underAnyPath } from '../session/planning.ts';

type Sides = Readonly<Record<'source' | 'target', pg.ClientBase>>;

/**
 * Their lines in the closing summary: sentences without a full stop, emptied tables first.
 * @param relations the selected tables of the source.
 * @param report called once per table.
 */
export async function unloggedRows(
  { source, target }: Sides,
  relations: readonly Relation[],
  input: MigrationInput,
  report: () => void = () => undefined,
): Promise<string[]> {
  const { unlogged } = ignoredAmong(relations, input.ignore);
  const tables = relations.filter(
    (one) => one.kind === 'r' && one.persistence === 'u' && unlogged(one),
  );
  const emptied = new Set<string>();
  for (const table of tables) {
    report();
    if (await hasRows(target, destinationOf(table), table.viaRoot !== null)) continue;
    if (await hasRows(source, table, false)) emptied.add(nameOf(table));
  }
  const sentence = (one: Relation): string =>
    emptied.has(nameOf(one))
      ? `${nameOf(one)}: EMPTY on the target, not on the source (unlogged: a crash of the target after its copy empties it)`
      : `${nameOf(one)}: rows are as of its copy (unlogged: later changes are missing)`;
  const first = tables.filter((one) => emptied.has(nameOf(one)));
  return [...first, ...tables.filter((one) => !emptied.has(nameOf(one)))].map(sentence);
}

/** Row security must raise an error instead of making a table look empty. */
async function hasRows(client: pg.ClientBase, table: TableName, whole: boolean): Promise<boolean> {
  await client.query(/* sql */ `set row_security = off`);
  const { rows } = await underAnyPath(client, () =>
    client.query<{ filled: boolean }>(
      /* sql */ `select exists (select from ${whole ? '' : 'only '}${quoted(table)}) as filled`,
    ),
  );
  return rows[0]?.filled === true;
}
