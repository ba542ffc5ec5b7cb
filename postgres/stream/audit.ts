/**
 * What became of the plan's tables since the stream last looked, at the beginning of every lease (and so at the fence, whose
 * drain is a lease). Each table of the plan or of the selection ends in one of these ways:
 *
 *   as before                      followed
 *   columns added, dropped,        the target has the same: followed in two forms, before and after
 *   renamed                        it has not: followed up to the first change that shows it, at most to the mark
 *   types made of other labels or  the target has the same: nothing to do
 *   attributes                     it has not: followed up to the mark, and then the operator is asked
 *   anything that a later DDL on   the target has the same: copied again
 *   the target cannot repeat       it has not: the operator is asked at once
 *   gone                           gone on the target, too: it leaves the plan; otherwise the operator is asked
 *   made anew, renamed, new        the target can take it: copied (again); otherwise the operator is asked
 *   new, gone or moved in a tree   (control/tree.ts) joins as it is, or all of the tree is copied again
 *   that goes through its root
 *
 * Copied again is always right, whatever happened in between: what its snapshot sees is skipped in the stream.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import {
  compareColumns,
  partitionsInTheWay,
  renderDifferences,
  type Difference,
} from '../catalog/drift.ts';
import { compareTypeParts, readTypeParts } from '../catalog/parts.ts';
import { readRelations, readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationOf, isViaRoot, keyOfName } from '../catalog/root.ts';
import type { Selection, TableName } from '../catalog/selection.ts';
import { readShapes, type Shape } from '../catalog/shape.ts';
import { holdEpoch } from '../control/epoch.ts';
import {
  forgetRelations,
  joinGeneration,
  markAgain,
  markTreesAgain,
  registerRelations,
  renameRelation,
  type PlannedRelationRow,
  type PlannedShape,
} from '../control/relation.ts';
import { judgeTrees, movedIn, type Tree } from '../control/tree.ts';
import { withRows } from '../schema/existing.ts';
import { followColumns, type Followed } from './follow.ts';

export interface Audit {
  readonly followed: readonly Followed[];
  /** Tokens of the selected tables by {@link tableKey}. */
  readonly tokens: ReadonlyMap<string, string>;
  /** Shapes to store by the plan's number, once the stream has passed what was committed before this look. */
  readonly settled: ReadonlyMap<number, PlannedShape>;
  /** Shapes to store at once. */
  readonly alike: ReadonlyMap<number, PlannedShape>;
  /** Differences that the stream may still be before; asked about when it gets to them. */
  readonly ahead: readonly Difference[];
  /** Whether the plan has grown by partitions that are to be followed: it has to be read and audited once more. */
  readonly grown: boolean;
}

/** What one table needs. */
interface Verdicts {
  readonly followed: Followed[];
  readonly settled: Map<number, PlannedShape>;
  readonly alike: Map<number, PlannedShape>;
  readonly ahead: Difference[];
  /** To ask the operator about at once. */
  readonly drift: Difference[];
  /** New tables that the target does not have. */
  readonly absent: Relation[];
  readonly forget: number[];
  readonly rename: { readonly id: number; readonly to: Relation }[];
  readonly register: Relation[];
  /** Partitions to follow from where their tree stands. */
  readonly joining: { readonly relation: Relation; readonly generation: number }[];
  /** Roots of trees to copy again. */
  readonly trees: TableName[];
  /** Tables to copy again by number, and all of them with the reason. */
  readonly again: number[];
  readonly reasons: string[];
}

interface Sides {
  readonly hereByOid: ReadonlyMap<number, Relation>;
  readonly here: ReadonlyMap<string, Relation>;
  readonly there: ReadonlyMap<string, Relation>;
  readonly shapes: ReadonlyMap<number, Shape>;
  readonly targetShapes: ReadonlyMap<number, Shape>;
  /** Names that the plan has, without those that are other tables now. */
  readonly planned: ReadonlySet<string>;
  readonly trees: readonly Tree[];
}

/**
 * Looks at both catalogs and says how each table is to be followed. Notes what is to be copied again.
 * @throws MigrationError `SchemaDrift`, `UnknownRelation`, `StreamWarning` when the operator has to act; `CopyAgain` when the
 *   next round of the copy has to.
 */
export async function audit(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  plan: {
    readonly rows: readonly PlannedRelationRow[];
    readonly selection: Selection;
    readonly epoch: bigint;
  },
): Promise<Audit> {
  const { rows } = plan;
  const here = (await readRelations(source, plan.selection)).filter(({ kind }) => kind !== 'f');
  const there = await readRelationsNamed(target, [
    ...new Map(
      [...rows, ...here]
        .flatMap((one) => [one, destinationOf(one)])
        .map((one) => [keyOfName(one), one]),
    ).values(),
  ]);
  const oids = [...rows.map(({ oid }) => oid), ...here.map(({ oid }) => oid)];
  const shapes = await readShapes(source, oids);
  const trees = judgeTrees(rows, here, shapes);
  const entering = movedIn(rows, here);
  const moved = new Set([...trees.flatMap(({ left }) => left), ...entering]);
  const sides: Sides = {
    hereByOid: new Map(here.map((relation) => [relation.oid, relation])),
    here: byName(here),
    there: byName(there),
    shapes,
    trees,
    targetShapes: await readShapes(
      target,
      there.map(({ oid }) => oid),
    ),
    planned: new Set(
      rows.filter((row) => !moved.has(row)).map((row) => tableKey(row.schema, row.name)),
    ),
  };
  const found: Verdicts = {
    ...{
      followed: [],
      settled: new Map(),
      alike: new Map(),
      ahead: [],
      drift: [],
      absent: [],
      forget: [],
    },
    ...{ rename: [], register: [], joining: [], trees: [], again: [], reasons: [] },
  };
  for (const row of rows) {
    if (!moved.has(row)) judge(row, sides, found);
    else if (isLeftRoot(row, sides)) {
      // Forgotten, it would keep its rows with nobody told.
      const what = 'is gone on the source (dropped or renamed): drop it on the target';
      found.drift.push({ schema: row.schema, table: row.name, column: null, what });
    } else found.forget.push(row.id);
  }
  for (const row of entering) judgeEntering(row, sides, found);
  for (const { root, reason } of trees) {
    if (reason === null) continue;
    found.trees.push(root);
    found.reasons.push(reason);
  }
  const goes = new Map([...rows, ...here].map((one) => [keyOfName(one), destinationOf(one)]));
  found.ahead.push(
    ...compareTypeParts(
      (await readTypeParts(source, oids)).map((one) => ({ ...one, ...goes.get(keyOfName(one)) })),
      await readTypeParts(
        target,
        there.map(({ oid }) => oid),
      ),
    ),
  );
  await judgeNew(target, here, sides, found);
  refuse(found);
  const { forget, rename, register, joining, again } = found;
  const noted = [forget, rename, register, joining, again, found.trees];
  if (noted.some((some) => some.length > 0)) await note(target, migration, plan.epoch, found);
  if (found.reasons.length > 0) throw copyAgain(found.reasons);
  return {
    followed: found.followed,
    settled: found.settled,
    alike: found.alike,
    ahead: found.ahead,
    grown: joining.length > 0,
    tokens: new Map(
      here.map((relation) => [
        tableKey(relation.schema, relation.name),
        sides.shapes.get(relation.oid)?.token ?? '',
      ]),
    ),
  };
}

/** For a table that is to be copied again, whatever else there is. */
export function copyAgain(reasons: readonly string[]): MigrationError {
  const shown = reasons.slice(0, SHOWN).join('; ');
  const more = reasons.length > SHOWN ? `; and ${reasons.length - SHOWN} more` : '';
  return new MigrationError('CopyAgain', `to be copied again: ${shown}${more}`);
}

const SHOWN = 5;

/** For differences that only the operator can settle. */
export function drift(differences: readonly Difference[]): MigrationError {
  const [first] = differences;
  return new MigrationError(
    'SchemaDrift',
    `the tables of source and target differ: ${renderDifferences(differences)}`,
    {
      ...(first ? { table: `${first.schema}.${first.table}` } : {}),
      ...(first?.column == null ? {} : { column: first.column }),
    },
  );
}

/** Key of maps by table. */
export function tableKey(schema: string, name: string): string {
  return JSON.stringify([schema, name]);
}

function judge(row: PlannedRelationRow, sides: Sides, found: Verdicts): void {
  const name = tableKey(row.schema, row.name);
  const relation = sides.here.get(name);
  const counterpart = sides.there.get(keyOfName(destinationOf(row)));
  const differs = (what: string): void => {
    found.drift.push({ schema: row.schema, table: row.name, column: null, what });
  };
  if (!relation) {
    judgeGone(row, sides, found);
    return;
  }
  if (!counterpart) {
    differs('is missing on the target');
    return;
  }
  if (relation.oid !== row.oid) {
    const differences = compareColumns([relation], [counterpart]);
    found.drift.push(...differences);
    if (differences.length > 0) return;
    // Notes the other oid, and with it that the copied rows are another table's.
    found.register.push(relation);
    if (row.kind === 'r') found.reasons.push(`${full(row)} was made anew on the source`);
    return;
  }
  if (row.kind === 'p') {
    found.drift.push(...compareColumns([relation], [counterpart]));
    return;
  }
  if (relation.viaRoot !== null && !isIdentified(relation)) {
    differs(NOT_TOLD_APART);
    return;
  }
  if (row.rewritten) {
    if (isIdentified(relation)) found.reasons.push(`changes of ${full(row)} are missing`);
    else differs('has no replica identity on the source: its updates and deletes are not sent');
    return;
  }
  const now = sides.shapes.get(relation.oid);
  if (!now) return;
  const targetShape = sides.targetShapes.get(counterpart.oid);
  const verdict = followColumns(row, { source: relation, target: counterpart, now, targetShape });
  found.drift.push(...verdict.drift);
  found.ahead.push(...verdict.ahead);
  if (verdict.followed) found.followed.push(verdict.followed);
  if (verdict.settled) found.settled.set(row.id, verdict.settled);
  if (verdict.alike) found.alike.set(row.id, verdict.alike);
  if (verdict.again !== null) {
    found.again.push(row.id);
    found.reasons.push(`${full(row)} ${verdict.again}`);
  }
}

const NOT_TOLD_APART =
  'goes through its root on the target, and its replica identity is unique within the partition only: give the root a primary key, or this table REPLICA IDENTITY FULL';

/** A table of its own that was attached to a tree: where its rows were on the target nothing follows them any more. */
function judgeEntering(row: PlannedRelationRow, sides: Sides, found: Verdicts): void {
  const own = sides.there.get(keyOfName(row));
  if (!own || own.isPartition) return;
  found.drift.push({
    ...{ schema: row.schema, table: row.name, column: null },
    what: 'is a partition on the source now, whose rows go through its root: drop it on the target',
  });
}

/** Whether the row is of a root that the source has no more, under this name, and the target has. */
function isLeftRoot(row: PlannedRelationRow, { here, there }: Sides): boolean {
  const name = keyOfName(row);
  return isViaRoot(row) && !here.has(name) && there.has(name);
}

/** The name is gone from the selection. */
function judgeGone(row: PlannedRelationRow, sides: Sides, found: Verdicts): void {
  const counterpart = sides.there.get(tableKey(row.schema, row.name));
  const moved = sides.hereByOid.get(row.oid);
  const renamed = moved && tableKey(moved.schema, moved.name);
  if (counterpart) {
    const shape = sides.shapes.get(row.oid);
    const now = shape && `${shape.schema}.${shape.name}`;
    found.drift.push({
      ...{ schema: row.schema, table: row.name, column: null },
      what: now
        ? `is named ${now} on the source now: rename it on the target (or drop it there, when ${now} is not to be moved)`
        : 'is gone on the source: drop it on the target',
    });
  } else if (moved && renamed && sides.there.has(renamed) && !sides.planned.has(renamed)) {
    found.rename.push({ id: row.id, to: moved });
    if (row.kind === 'r') found.reasons.push(`${full(row)} is named ${full(moved)} now`);
  } else {
    found.forget.push(row.id);
  }
}

/** Tables of the selection that the plan does not have. */
async function judgeNew(
  target: pg.ClientBase,
  here: readonly Relation[],
  sides: Sides,
  found: Verdicts,
): Promise<void> {
  const renamed = new Set(found.rename.map(({ to }) => to.oid));
  const fresh = here.filter(
    ({ schema, name, oid }) => !sides.planned.has(tableKey(schema, name)) && !renamed.has(oid),
  );
  const takeable: { readonly relation: Relation }[] = [];
  for (const relation of fresh) {
    const { schema, name, kind } = relation;
    const counterpart = sides.there.get(keyOfName(destinationOf(relation)));
    const differs = (what: string): void => {
      found.drift.push({ schema, table: name, column: null, what });
    };
    if (kind === 'r' && relation.persistence === 'u') {
      differs('is new and unlogged: its changes are not sent; make it logged or drop it');
    } else if (kind === 'r' && !isIdentified(relation)) {
      differs(
        relation.viaRoot === null || relation.key === null
          ? 'is new and has no replica identity on the source: its updates are not sent'
          : NOT_TOLD_APART,
      );
    } else if (!counterpart) {
      found.absent.push(relation);
    } else {
      const differences = compareColumns([relation], [counterpart]);
      if (sides.trees.length > 0) {
        differences.push(...partitionsInTheWay([relation], [counterpart]));
      }
      found.drift.push(...differences);
      const tree = treeOf(relation, sides.trees);
      if (differences.length > 0) continue;
      if (tree !== undefined && tree.reason === null && tree.generation !== null) {
        found.joining.push({ relation, generation: tree.generation });
      } else if (tree !== undefined && tree.reason !== null) {
        found.register.push(relation);
      } else {
        takeable.push({ relation });
      }
    }
  }
  const tables = takeable.filter(({ relation }) => relation.kind === 'r');
  const filled = await withRows(
    target,
    tables.map(({ relation }) => ({ relation, sql: quoted(destinationOf(relation)) })),
  );
  for (const { relation } of filled) {
    const what = 'is new in the selection and holds rows on the target already: empty it there';
    found.drift.push({ schema: relation.schema, table: relation.name, column: null, what });
  }
  found.register.push(...takeable.map(({ relation }) => relation));
  found.reasons.push(...tables.map(({ relation }) => `${full(relation)} is new in the selection`));
}

function refuse({ drift: differences, absent }: Verdicts): void {
  if (differences.length > 0) {
    const missing = absent.map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: 'is new on the source and missing on the target',
    }));
    throw drift([...differences, ...missing]);
  }
  const [first] = absent;
  if (!first) return;
  const names = absent.slice(0, SHOWN).map(full).join(', ');
  const more = absent.length > SHOWN ? ` and ${absent.length - SHOWN} more` : '';
  throw new MigrationError(
    'UnknownRelation',
    `new on the source and selected, but not on the target: ${names}${more}`,
    { table: full(first) },
  );
}

/** One transaction under the attempt's epoch. */
async function note(
  target: pg.ClientBase,
  migration: Migration,
  epoch: bigint,
  found: Verdicts,
): Promise<void> {
  await target.query(/* sql */ `begin`);
  try {
    await holdEpoch(target, migration, epoch);
    await forgetRelations(target, migration, found.forget);
    for (const { id, to } of found.rename) await renameRelation(target, migration, id, to);
    const joining = found.joining.map(({ relation }) => relation);
    await registerRelations(target, migration, [...found.register, ...joining]);
    for (const { relation, generation } of found.joining) {
      await joinGeneration(target, migration, [relation], generation);
    }
    await markAgain(target, migration, found.again);
    await markTreesAgain(target, migration, found.trees);
    await target.query(/* sql */ `commit`);
  } catch (error) {
    await target.query(/* sql */ `rollback`).catch(() => undefined);
    throw error;
  }
}

/** Whether updates and deletes of the table are sent, and name a row of the target's table. */
function isIdentified({ key, identity, viaRoot }: Relation): boolean {
  return identity === 'f' || (key !== null && viaRoot?.uniqueKey !== false);
}

function treeOf({ viaRoot }: Relation, trees: readonly Tree[]): Tree | undefined {
  return viaRoot === null
    ? undefined
    : trees.find(({ root }) => keyOfName(root) === keyOfName(viaRoot));
}

function byName(relations: readonly Relation[]): Map<string, Relation> {
  return new Map(relations.map((relation) => [tableKey(relation.schema, relation.name), relation]));
}

function full({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`;
}

function quoted({ schema, name }: TableName): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}
