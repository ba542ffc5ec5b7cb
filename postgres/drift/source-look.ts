/** What a drift check reads about the source's tables. */
import type pg from 'pg';
import type { Relation } from '../catalog/relation.ts';
import { readRelations } from '../catalog/read-relations.ts';
import type { Selection } from '../catalog/selection.ts';
import { readDefinitions, type TableDefinition } from '../catalog/table-definition.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import { rolledBack } from '../connection/in-transaction.ts';

/**
 * Under one snapshot: the check before a commit compares fingerprints, and must find all DDL since the columns, keys and tree
 * positions were read.
 */
export async function readSource(
  source: pg.ClientBase,
  {
    rows,
    selection,
  }: { readonly rows: readonly PlannedRelationRow[]; readonly selection: Selection },
  turn: () => Promise<void> | undefined,
): Promise<{
  readonly here: readonly Relation[];
  readonly definitions: Map<number, TableDefinition>;
}> {
  const look = async () => {
    const found = await readRelations(source, selection, 'estimated');
    const here = found.filter(({ kind }) => kind !== 'f');
    await turn();
    const definitions = await readDefinitions(
      source,
      [...rows, ...here].map(({ oid }) => oid),
    );
    return { here, definitions };
  };
  return rolledBack(source, look, 'begin isolation level repeatable read read only');
}
