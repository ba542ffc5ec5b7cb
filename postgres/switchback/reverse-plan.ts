/**
 * Plans the way back within the cutover: after the last change from the old database was applied, and before the release. Nothing is
 * copied, because both sides hold the same rows then. From this moment on the definitions of the new database's tables are the ones
 * that its changes have, and the files of the old database's tables are known: a TRUNCATE of the stream to the new database, or DDL on
 * both sides, would make both look foreign if they had been noted earlier.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import { compareColumns, partitionsInTheWay } from '../catalog/column-difference.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import { readSchemaRows } from '../catalog/schema-row.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { readKeepers } from '../catalog/table-file.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import { readTypeGraph } from '../catalog/type-graph.ts';
import { TypePairs } from '../catalog/type-pair.ts';
import { readUnlogged } from '../catalog/unlogged.ts';
import { charDifferences } from '../catalog/version-form.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { drift } from '../drift/drift-failure.ts';
import { readSource } from '../drift/source-look.ts';
import { flushSeen } from '../replication/flushed-mark.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { plannedDefinition } from '../store/planned-definition.ts';
import { readPlannedSizes } from '../store/planned-relation.ts';
import { recordSchemas } from '../store/recorded-schema.ts';
import type { Joining } from '../store/table-move.ts';
import { planWayBack, type NotReturned } from '../store/way-back.ts';
import { onWayBack } from './on-way-back.ts';
import { reverseSelection } from './reverse-sides.ts';

/** Names in a result, which is in the workflow's history. */
const MOST_NAMED = 20;

export interface ReversePlan {
  /** Tables whose changes go back. */
  readonly tables: number;
  /** Selected tables of the new database whose changes do not; bounded. */
  readonly notReturned: readonly string[];
}

/**
 * Stores the plan on the old database; replaces that of a cutover that was undone. Idempotent until the way back has started.
 * @throws MigrationError `SchemaDrift` if the old database cannot take the rows of a table, `UnknownRelation` for a partition that it
 *   lacks, `Fenced` if the way back has started.
 */
export async function planReverse(
  migration: Migration,
  { tables }: Pick<MigrationInput, 'tables'>,
  work: Work,
): Promise<ReversePlan> {
  const reverse = reverseOf(migration);
  const { signal } = work;
  const selection = reverseSelection(tables);
  const plan = async (): Promise<ReversePlan> => {
    await using old = await connectTarget(reverse, 'cutover', { signal });
    await using fresh = await connectSource(reverse, 'cutover', { target: old, signal });
    await using own = await connectTarget(migration, 'cutover', { signal });
    const moved = new Set(
      (await readPlannedSizes(own, migration)).flatMap((row) => [
        keyOfName(row),
        keyOfName(destinationOf(row)),
      ]),
    );
    let step = 'reading tables of the new database';
    return await whileWatched(
      [fresh, old],
      work,
      () => ({ step }),
      async () => {
        const { here, definitions } = await readSource(fresh, { rows: [], selection }, () =>
          Promise.resolve(),
        );
        const schemas = await readSchemaRows(fresh);
        step = 'reading tables of the old database';
        const there = await readRelationsNamed(old, destinationsOf(here));
        const { kept, notReturned } = sort(here, there, {
          moved,
          unlogged: await readUnlogged(old, destinationsOf(here)),
        });
        const differences = [
          ...compareColumns(kept, there),
          ...partitionsInTheWay(kept, there),
          ...(await charDifferences(fresh, old, kept)),
        ];
        if (differences.length > 0) throw drift(differences);
        const joining = await definitionsOf({ fresh, old }, kept, there, definitions);
        // The old database must not record what a crash of the new one could undo.
        await flushSeen(fresh, reverse);
        step = 'storing the plan of the way back';
        await inTransaction(old, async () => {
          await planWayBack(old, reverse, { relations: kept, joining, notReturned });
          await recordSchemas(old, reverse, schemas);
        });
        return { tables: joining.length, notReturned: named(notReturned) };
      },
    );
  };
  return onWayBack(reverse, 'planning the way back', plan, signal);
}

/** The tables whose changes can go back, and the others, with the reason. */
function sort(
  here: readonly Relation[],
  there: readonly Relation[],
  known: {
    readonly moved: ReadonlySet<string>;
    readonly unlogged: readonly { readonly schema: string; readonly name: string }[];
  },
): { readonly kept: Relation[]; readonly notReturned: NotReturned[] } {
  const counterparts = new Set(there.map(keyOfName));
  const unlogged = new Set(known.unlogged.map(keyOfName));
  const byOid = new Map(here.map((relation) => [relation.oid, relation]));
  const reasonOf = (relation: Relation): string | null => {
    const parent = relation.parentOid === null ? undefined : byOid.get(relation.parentOid);
    // The pattern that leaves out a table leaves out those below it, too.
    const above = parent ? reasonOf(parent) : null;
    if (above !== null) return above;
    const destination = keyOfName(destinationOf(relation));
    if (!counterparts.has(destination)) {
      // The rest of its tree goes back: without it, rows would be missing in the middle of a table.
      if (relation.isPartition) throw missingPartition(relation);
      return 'is not on the old database';
    }
    if (!known.moved.has(destination)) return 'was not moved';
    if (relation.persistence === 'u') return 'is unlogged on the new database';
    return unlogged.has(destination) ? 'is unlogged on the old database' : null;
  };
  const reasons = here.map((relation) => [relation, reasonOf(relation)] as const);
  return {
    kept: reasons.flatMap(([relation, why]) => (why === null ? [relation] : [])),
    notReturned: reasons.flatMap(([{ schema, name }, why]) =>
      why === null ? [] : [{ schema, name, why }],
    ),
  };
}

function missingPartition(relation: Relation): MigrationError {
  return new MigrationError(
    'UnknownRelation',
    `partition ${nameOf(relation)} is missing on the old database: create it there, as on the new one`,
    { table: nameOf(relation) },
  );
}

async function definitionsOf(
  { fresh, old }: { readonly fresh: Session; readonly old: Session },
  kept: readonly Relation[],
  there: readonly Relation[],
  definitions: ReadonlyMap<number, TableDefinition>,
): Promise<Joining[]> {
  const counterparts = new Map(there.map((one) => [keyOfName(one), one]));
  const types = new TypePairs(await readTypeGraph(fresh, kept), await readTypeGraph(old, there));
  const keepers = await readKeepers(
    old,
    there.map(({ oid }) => oid),
  );
  return kept.flatMap((relation) => {
    const target = counterparts.get(keyOfName(destinationOf(relation)));
    const source = definitions.get(relation.oid);
    if (relation.kind !== 'r' || !target || !source) return [];
    const keeper = keepers.get(target.oid);
    const { schema, name } = relation;
    const definition = plannedDefinition({ relation, target }, source, types, keeper);
    return [{ schema, name, definition }];
  });
}

function named(tables: readonly NotReturned[]): string[] {
  const lines = tables.map((one) => `${nameOf(one)} ${one.why}`);
  if (lines.length <= MOST_NAMED) return lines;
  return [...lines.slice(0, MOST_NAMED), `${lines.length - MOST_NAMED} more`];
}
