/** Decides how one planned table is followed, from its stored definition and its current columns on source and target. Pure. */
import { compareColumns, type Difference } from '../catalog/column-difference.ts';
import { disguisedColumns, type Disguised } from '../catalog/binary-coercible-type.ts';
import { mayBeCut, mayBeEmptied, type Keeper } from '../catalog/table-file.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { compareForms, useOf } from '../catalog/type-form.ts';
import {
  compareDefinitions,
  type TableDefinition,
  type DefinitionChange,
} from '../catalog/table-definition.ts';
import { numbersOf, type PlannedDefinition } from '../store/planned-definition.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import { earlierRowShape, plainRowShape, type RowShape } from './row-shape.ts';

/** A table whose changes go to the target. */
export interface Followed {
  readonly row: PlannedRelationRow;
  readonly source: Relation;
  readonly target: Relation;
  readonly rowShapes: readonly [RowShape, ...RowShape[]];
  /** Columns that identify the row in every change of the lease; null when they have changed. */
  readonly key: readonly string[] | null;
  /** Columns that may have had another type since the stored definition. */
  readonly disguised: Disguised;
}

export interface Sides {
  readonly source: Relation;
  readonly target: Relation;
  /** Current definition of the source's table. */
  readonly now: TableDefinition;
  readonly targetDefinition: TableDefinition | undefined;
}

export interface ColumnDrift {
  readonly followed: Followed | null;
  /** The operator is asked about these at once. */
  readonly drift: readonly Difference[];
  /** The operator is asked about these when the stream reaches them. */
  readonly ahead: readonly Difference[];
  /** Why the table must be resynced, or null. */
  readonly again: string | null;
  /** Definition to store once the stream has applied what was committed before this check. */
  readonly settled: PlannedDefinition | null;
  /** Definition to store at once: changes look the same under both definitions. */
  readonly alike: PlannedDefinition | null;
  /** The transaction (32-bit id) whose TRUNCATE must arrive in the stream, or the table is resynced; null for none. */
  readonly awaited: string | null;
}

const NOTHING = {
  ...{ followed: null, drift: [], ahead: [], again: null },
  ...{ settled: null, alike: null, awaited: null },
};
/** Types whose NaN wal2json 2.5 sends as null: the value is then read from the source, by the current column names. */
const READ_BACK = new Set(['real', 'double precision', 'numeric']);

/** @param row a logged table that exists on both sides, and that is the one that was copied. */
export function followColumns(row: PlannedRelationRow, sides: Sides): ColumnDrift {
  const { source, target, now, targetDefinition } = sides;
  const numbers = numbersOf(target);
  const { key } = source;
  const before: PlannedDefinition = row.definition ?? { source: now, key, target: numbers };
  const change = compareDefinitions(before.source, now);
  const differences = [...compareColumns([source], [target]), ...leftOver(source, target, change)];
  const disguised = disguisedColumns(source, before.source, now);
  const unchanged =
    change.opaque === null &&
    change.added.length + change.dropped.length + change.renamed.length === 0;
  if (differences.length > 0) {
    // The current target accepts the changes from before the DDL: the stream may continue up to the DDL.
    const blocked = unchanged || change.opaque !== null || !takesBefore(before, sides, change);
    if (blocked) return { ...NOTHING, drift: differences };
    const rowShapes: Followed['rowShapes'] = [plainRowShape(before.source)];
    const keptKey = isSameKey(before.key, key) ? key : null;
    return {
      ...NOTHING,
      followed: { row, source, target, rowShapes, key: keptKey, disguised },
      ahead: differences,
    };
  }
  const awaited = change.replaced ? (now.emptiedBy ?? null) : null;
  const again =
    uncopied(row) ??
    change.opaque ??
    unlikeOnTarget(before, change, sides) ??
    emptiedOnTarget(before, sides) ??
    unsent(before.source, (change.replaced && awaited === null) || isReborn(row, now));
  if (again !== null) return { ...NOTHING, again };
  const renamed = new Map(change.renamed.map(({ from, to }) => [from, to]));
  const keyBefore = before.key?.map((name) => renamed.get(name) ?? name) ?? null;
  const rowShapes: Followed['rowShapes'] = unchanged
    ? [plainRowShape(now)]
    : [earlierRowShape(before.source, change), plainRowShape(now)];
  const sameKey = isSameKey(keyBefore, key);
  const moved =
    row.definition === null ||
    before.source.fingerprint !== now.fingerprint ||
    before.source.filenode !== now.filenode;
  const { types } = before;
  const keeper = targetDefinition && keeperOf(targetDefinition);
  const definition =
    moved || !isSameKeeper(before.keeper, keeper)
      ? { source: now, key, target: numbers, ...(keeper && { keeper }), ...(types && { types }) }
      : null;
  const alike = unchanged && sameKey && awaited === null && disguised.size === 0;
  return {
    ...NOTHING,
    awaited,
    followed: { row, source, target, rowShapes, key: sameKey ? key : null, disguised },
    settled: alike ? null : definition,
    alike: alike ? definition : null,
  };
}

/** A partition may join its tree without a copy. Any other table has a definition from its copy, or was in no snapshot. */
function uncopied({ definition, viaRoot, pass }: PlannedRelationRow): string | null {
  if (definition !== null || viaRoot !== null || pass === null) return null;
  return 'was not in the snapshot for its copy';
}

/** Why changes of the table may be missing in the stream. */
function unsent(before: TableDefinition, unexplained: boolean): string | null {
  // Its changes while it was logged were ignored, too.
  if (before.persistence === 'u') return 'is logged again on the source';
  return unexplained ? OTHER_FILE : null;
}

/** A partition that joined its tree without a copy was in its first file then. No definition shows what happened to that file. */
function isReborn({ definition, viaRoot }: PlannedRelationRow, now: TableDefinition): boolean {
  return definition === null && viaRoot !== null && now.filenode !== now.oid;
}

/** For a table without proof that it was always logged. */
export const OTHER_FILE =
  'has a different file on the source (temporarily unlogged, or rewritten): changes may not have been sent';

/** Columns that are gone on the source must be gone on the target; the target may have additional ones. */
function leftOver(source: Relation, target: Relation, change: DefinitionChange): Difference[] {
  const here = new Set(source.columns.map(({ name }) => name));
  const there = new Set(target.columns.map(({ name }) => name));
  const gone = [
    ...change.dropped.map(({ name }) => name),
    ...change.renamed.map(({ from }) => from),
  ];
  // For a partition via root the root is named, as in all other differences.
  const { schema, name: table } = destinationOf(source);
  return gone
    .filter((name) => !here.has(name) && there.has(name))
    .map((name) => ({
      ...{ schema, table, column: name },
      what: 'is gone on the source (dropped or renamed) but not on the target',
    }));
}

/** Whether changes from before the DDL can still be applied unchanged. */
function takesBefore(
  before: PlannedDefinition,
  { source, target }: Sides,
  change: DefinitionChange,
): boolean {
  const numbers = numbersOf(target);
  // A common column whose type on the target rounds: each change would lose digits without an error.
  const added = new Set(change.added.map(({ name }) => name));
  const there = new Map(target.columns.map((column) => [column.name, column]));
  const rounds = source.columns.some((column) => {
    const other = added.has(column.name) ? undefined : there.get(column.name);
    return other && compareForms(useOf(column, source), useOf(other, target)) !== null;
  });
  if (rounds) return false;
  const readBack = source.columns.some(({ baseTypeName }) => READ_BACK.has(baseTypeName));
  if (change.renamed.length > 0 && readBack) return false;
  return before.source.columns.every(({ name }) => numbers[name] !== undefined);
}

/** Why columns of the target may hold other values than those of the source, although names and types are equal. */
function unlikeOnTarget(
  before: PlannedDefinition,
  change: DefinitionChange,
  { target, targetDefinition }: Sides,
): string | null {
  const numbers = numbersOf(target);
  const renamed = new Map(change.renamed.map(({ from, to }) => [from, to]));
  const dropped = new Set(change.dropped.map(({ name }) => name));
  for (const { name, generated } of before.source.columns) {
    const recorded = before.target[name];
    if (dropped.has(name) || generated !== '' || recorded === undefined) continue;
    const to = renamed.get(name) ?? name;
    // Dropped and added instead of renamed as on the source: the values are gone.
    if (numbers[to] !== recorded) return `had column ${to} recreated on the target`;
  }
  const there = new Map(targetDefinition?.columns.map((column) => [column.name, column]));
  const defaults = new Map(target.columns.map(({ name, hasDefault }) => [name, hasDefault]));
  for (const { name, missing, generated } of change.added) {
    if (generated !== '') continue;
    // `default now()` gives each side another value. If neither side has recorded a value, the rows are NULL, unless a default
    // existed when the target's rows were filled.
    const other = (there.get(name)?.missing ?? null) !== missing;
    if (other || (missing === null && defaults.get(name) === true)) {
      return `may have other values than the source in column ${name} of earlier rows`;
    }
  }
  return null;
}

function keeperOf({ oid, filenode, witness, columns, files = '' }: TableDefinition): Keeper {
  const own = columns.filter(({ generated }) => generated === '');
  const written = Object.fromEntries(own.map(({ attnum, version }) => [attnum, version]));
  return { oid, filenode, witness, written, files };
}

/** Changes without a reason for a resync must be stored, too: otherwise a later DDL would be evaluated together with them. */
function isSameKeeper(before: Keeper | undefined, now: Keeper | undefined): boolean {
  if (!before || !now) return before === now;
  return (
    before.oid === now.oid &&
    before.filenode === now.filenode &&
    before.witness === now.witness &&
    before.files === now.files &&
    isSameRecord(before.written, now.written)
  );
}

/** Ignores the order of keys, which the database does not preserve. */
function isSameRecord<T>(
  a: Readonly<Record<string, T>> = {},
  b: Readonly<Record<string, T>> = {},
): boolean {
  const entries = Object.entries(b);
  return (
    Object.keys(a).length === entries.length && entries.every(([key, value]) => a[key] === value)
  );
}

function emptiedOnTarget(
  { keeper }: PlannedDefinition,
  { target, targetDefinition }: Sides,
): string | null {
  if (!keeper || !targetDefinition) return null;
  const now = keeperOf(targetDefinition);
  if (!mayBeEmptied(keeper, now)) {
    return mayBeCut(keeper, now)
      ? 'was rewritten on the target, with a column altered: values may have been rounded or cut there'
      : null;
  }
  return keeper.oid === target.oid
    ? 'has a different file on the target (temporarily unlogged, or rewritten): a crash may have emptied it there'
    : 'was dropped and created again on the target';
}

function isSameKey(a: readonly string[] | null, b: readonly string[] | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((name) => b.includes(name));
}
