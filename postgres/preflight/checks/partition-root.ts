/** Roots of `tables.viaPartitionRoot`: each exists on the target, accepts the rows, and lets UPDATE and DELETE find their row. */
import {
  compareColumns,
  partitionsInTheWay,
  renderDifferences,
} from '../../catalog/column-difference.ts';
import type { Relation } from '../../catalog/relation.ts';
import { destinationsOf, isViaRoot } from '../../catalog/row-destination.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { identifier, list, nameOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses, warns, type Found } from '../check.ts';
import { compileSelection } from '../../catalog/selection.ts';
import { relations } from '../facts/selected.ts';
import { roots, type RootFacts } from '../facts/target-roots.ts';
import { tables, type TargetTable } from '../facts/target-tables.ts';

const { codes, error, warning } = raising({
  'partition-root-unmatched': refuses(
    'A pattern in "tables.viaPartitionRoot" matches no selected partitioned table.',
  ),
  'partition-root-identity': refuses(
    "A partition's replica identity is unique within the partition only, but its rows go through the root.",
  ),
  'partition-root-missing': refuses(
    'A root of "tables.viaPartitionRoot" is missing on the target, or has no partitions there.',
  ),
  'partition-root-columns': refuses(
    'A root of "tables.viaPartitionRoot" cannot take the rows of the source.',
  ),
  'partition-root-index': warns(
    'A root of "tables.viaPartitionRoot" has no index by which UPDATE and DELETE find their row.',
  ),
});

export const partitionRoot = defineCheck({
  codes,
  source: { relations },
  target: { tables, roots },
  find: ({ source, target, input }) => {
    if (source === null) return [];
    return [
      patterns(source.relations, input.tables.viaPartitionRoot),
      identities(source.relations),
      target !== null && onTarget(source.relations, target),
    ];
  },
});

function patterns(relations: readonly Relation[], given: readonly string[]): Found {
  const idle = given.filter((pattern) => {
    const named = compileSelection({ include: [pattern], exclude: [] });
    return !relations.some((one) => isViaRoot(one) && named.includes(one));
  });
  if (idle.length === 0) return [];
  return error(
    'partition-root-unmatched',
    `patterns in "tables.viaPartitionRoot" match no selected partitioned table: ${list(idle)}`,
    'Correct or remove them. Name only the topmost partitioned table of a tree.',
  );
}

function identities(relations: readonly Relation[]): Found {
  const vague = relations.filter(
    (one) =>
      one.kind === 'r' &&
      one.viaRoot?.uniqueKey === false &&
      one.identity !== 'f' &&
      one.key !== null,
  );
  if (vague.length === 0) return [];
  return error(
    'partition-root-identity',
    `partitions whose rows go through their root have their own replica identity, which may also match another partition's row: ${list(vague.map(nameOf))}`,
    `On the source: ${statements(vague.map((one) => `alter table ${sqlName(one)} replica identity full`))} Or give the root a primary key.`,
  );
}

interface Target {
  readonly tables: readonly TargetTable[];
  readonly roots: readonly RootFacts[];
}

function onTarget(relations: readonly Relation[], target: Target): Found {
  const rooted = relations.filter(({ viaRoot }) => viaRoot !== null);
  if (rooted.length === 0) return [];
  const there = new Map(target.roots.map((root) => [keyOfName(root.relation), root]));
  // Another object of that name is reported as target-clash.
  const named = new Set(target.tables.map(keyOfName));
  const absent = destinationsOf(rooted).filter((one) => !named.has(keyOfName(one)));
  const bare = target.roots.filter(({ partitions }) => partitions === 0);
  const empty = bare.map(
    ({ relation }) => `${nameOf(relation)} (partitioned, but has no partition)`,
  );
  const known = rooted.filter(({ viaRoot }) => viaRoot && there.has(keyOfName(viaRoot)));
  const differences = [
    ...compareColumns(
      known,
      target.roots.map(({ relation }) => relation),
    ),
    ...partitionsInTheWay(relations, target.tables),
  ];
  const slow = [...there.values()].flatMap((root) => indexFor(root, known));
  return [
    absent.length + bare.length > 0 &&
      error(
        'partition-root-missing',
        `tables of "tables.viaPartitionRoot" that are not ready on the target: ${list([...absent.map(nameOf), ...empty])}`,
        'Create them there with the columns of the source: not partitioned, or with your own partitions for all rows.',
      ),
    differences.length > 0 &&
      error(
        'partition-root-columns',
        `tables on the target cannot take the rows of the source: ${renderDifferences(differences)}`,
        'Alter them on the target.',
      ),
    slow.length > 0 &&
      warning(
        'partition-root-index',
        `UPDATE and DELETE have no index on the target to find their row: ${list(slow.map(({ name }) => name))}`,
        `On the target: ${statements(slow.map(({ sql }) => sql))} Otherwise each change reads the whole table.`,
      ),
  ];
}

/** The missing index, if none begins with a column of the source's replica identity. */
function indexFor(
  { relation, indexes }: RootFacts,
  known: readonly Relation[],
): { readonly name: string; readonly sql: string }[] {
  const leaf = known.find(
    (one) =>
      one.kind === 'r' &&
      one.key !== null &&
      one.viaRoot?.uniqueKey === true &&
      keyOfName(one.viaRoot) === keyOfName(relation) &&
      !indexes.some(([first = '']) => one.key?.includes(first) === true),
  );
  if (leaf?.key == null) return [];
  const columns = leaf.key.map(identifier).join(', ');
  return [{ name: nameOf(relation), sql: `create index on ${sqlName(relation)} (${columns})` }];
}
