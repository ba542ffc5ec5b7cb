/**
 * Compares values of generated columns. The target computes them with its own functions and expressions: if those were replaced
 * on the source, or read rows that had not arrived yet, values differ and no change in the stream shows it.
 */
import { listed } from '../../contract/listed.ts';
import type { Relation } from '../catalog/relation.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import { MigrationError } from '../../contract/failure.ts';
import pg from 'pg';

/** The compared columns of a table. */
export interface GeneratedColumns {
  /** Columns that distinguish its rows: the key, or all columns that are not generated. */
  readonly key: readonly string[];
  readonly generated: readonly string[];
}

/** Null for a table without generated columns. */
export function generatedOf({
  columns,
  key,
}: Pick<Relation, 'columns' | 'key'>): GeneratedColumns | null {
  const generated = columns.filter((column) => column.generated).map(({ name }) => name);
  if (generated.length === 0) return null;
  const others = columns.filter((column) => !column.generated).map(({ name }) => name);
  return { key: key ?? others, generated };
}

/**
 * SQL: one number per generated column, equal on both sides if every row has the same value. Hashes of text, because these are
 * the same in all versions and collations; summed, because row order is undefined.
 * @param tables summed together; `only` excludes rows of partitions and children.
 * @param condition for the rows of each table.
 */
export function hashStatement(
  tables: readonly TableName[],
  only: boolean,
  { key, generated }: GeneratedColumns,
  condition: string | null = null,
): string {
  // A generated column may be part of the key; listed twice it would be ambiguous (42702).
  const cells = [...new Set([...key, ...generated])]
    .map((name) => pg.escapeIdentifier(name))
    .join(', ');
  const where = condition === null ? '' : ` where ${condition}`;
  const rows = tables.map(
    (table) => `select ${cells} from ${only ? 'only ' : ''}${quoted(table)}${where}`,
  );
  const sums = generated.map((name, at) => {
    const row = [...key, name].map((one) => `r.${pg.escapeIdentifier(one)}`).join(', ');
    return `coalesce(sum(pg_catalog.hashtextextended(row(${row})::text collate pg_catalog."C", 0)::numeric), 0)::text as s${at}`;
  });
  return /* sql */ `select ${sums.join(', ')} from (${rows.join(' union all ')}) r`;
}

/** A table and its columns with different values. */
export interface GeneratedDifference extends TableName {
  readonly columns: readonly string[];
}

const SHOWN = 10;

/** Names tables and columns, never values. */
export function generatedDiffer(differences: readonly GeneratedDifference[]): MigrationError {
  // By name, not by order of completion.
  const sorted = differences.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const [first] = sorted;
  const texts = sorted.map((one) => `${nameOf(one)} (${one.columns.join(', ')})`);
  return new MigrationError(
    'NotEqual',
    `values of generated columns differ: ${listed(texts, SHOWN)}; make functions and expressions on the target equal to the source's, recompute the values on the source and then on the target (update … set to itself a column that the expression reads), then call cutover again`,
    first ? { table: nameOf(first), column: first.columns[0] ?? '' } : {},
  );
}

/** Adds sums of several statements, column by column. */
export function addSums(sums: readonly (readonly string[])[]): string[] {
  const [first = [], ...others] = sums;
  return first.map((one, at) =>
    others.reduce((sum, other) => sum + BigInt(other[at] ?? '0'), BigInt(one)).toString(),
  );
}

/** For partitions that go through one table: the union of their columns. */
export function widest(
  a: GeneratedColumns | null,
  b: GeneratedColumns | null,
): GeneratedColumns | null {
  if (a === null || b === null) return a ?? b;
  return { key: union(a.key, b.key), generated: union(a.generated, b.generated) };
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])];
}
