/**
 * Values of generated columns on both sides. The target computes them with its own functions and expressions: if those were replaced
 * on the source, or read rows that had not arrived yet, the values differ and no change in the stream shows it.
 */
import type { Relation } from '../catalog/relation.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import { MigrationError } from '../../contract/failure.ts';
import pg from 'pg';

/** What is compared of a table. */
export interface GeneratedColumns {
  /** Columns that tell its rows apart: the key, or all that are stored as they came. */
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
 * One number for each generated column, which is equal on both sides as long as every row has the same value there. Hashes of
 * text, because those are the same in every version and collation; summed, because the order of rows is undefined.
 * @param tables their rows together; `only` says whether those of partitions and children are left out.
 * @param condition of every table's rows.
 */
export function hashStatement(
  tables: readonly TableName[],
  only: boolean,
  { key, generated }: GeneratedColumns,
  condition: string | null = null,
): string {
  // A generated column may be part of the key: named twice, it would be ambiguous (42702).
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

/** Tables and columns of which the values differ. */
export interface GeneratedDifference extends TableName {
  readonly columns: readonly string[];
}

const SHOWN = 10;

/** Names tables and columns, never values. */
export function generatedDiffer(differences: readonly GeneratedDifference[]): MigrationError {
  // In the order of names, not in that in which the tables were done.
  const sorted = differences.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const [first] = sorted;
  const named = sorted.slice(0, SHOWN).map((one) => `${nameOf(one)} (${one.columns.join(', ')})`);
  const more = differences.length - named.length;
  return new MigrationError(
    'NotEqual',
    `values of generated columns differ: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}; make functions and expressions on the target the same as on the source, recompute the values on the source and then on the target (update … set a column that the expression reads to itself), and call cutover again`,
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

/** Of several partitions that go through one table: the same for all of them, or the widest. */
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
