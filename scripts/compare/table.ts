/**
 * Comparing one table. Both servers divide their rows into buckets by a hash of the key and sum up hashes of the rows' text,
 * which needs no order and transfers only a few numbers; only rows of differing buckets are then compared individually.
 */
import type { ComparedTable } from './catalog.ts';
import { quoteIdentifier, quoteLiteral } from './psql.ts';
import type { Psql } from './psql.ts';

export interface Difference {
  readonly key: string;
  readonly kind: 'missing on target' | 'only on target' | 'different';
}

export interface TableResult {
  readonly table: string;
  readonly equal: boolean;
  readonly sourceRows: number;
  readonly targetRows: number;
  /** A problem of the table as a whole. */
  readonly problem?: string;
  /** The first ones, by key. */
  readonly differences: readonly Difference[];
  /** How many rows differ; a lower bound when not every differing bucket was read. */
  readonly differing: number;
  readonly complete: boolean;
}

/** `fast` is PostgreSQL's own 64-bit hash, twice; `md5` for servers whose hashes differ. */
export type Hashing = 'fast' | 'md5';

export interface TableSettings {
  readonly hashing: Hashing;
  /** Differences to name per table. */
  readonly show: number;
}

const ROWS_PER_BUCKET = 1_000;
const BUCKETS_MOST = 4_096;
/** Buckets compared row by row at once: bounds memory to some 100,000 short strings. */
const BUCKETS_AT_ONCE = 64;

export async function compareTable(
  source: Psql,
  target: Psql,
  tables: { source: ComparedTable; target: ComparedTable },
  settings: TableSettings,
): Promise<TableResult> {
  const table = tables.source;
  const problem = kindsDiffer(table, tables.target) ?? columnsDiffer(table, tables.target);
  // A view holds the rows of its last refresh: the operator has to know that it is one.
  const label = table.view ? `${table.name} (materialized view)` : table.name;
  const none = { table: label, differences: [], differing: 0, complete: true };
  if (problem !== undefined) {
    return { ...none, equal: false, sourceRows: 0, targetRows: 0, problem };
  }
  if (!table.filled) return { ...none, equal: true, sourceRows: 0, targetRows: 0 };
  const rows = Math.max(table.estimatedRows, tables.target.estimatedRows);
  const count = Math.min(BUCKETS_MOST, Math.max(1, Math.ceil(rows / ROWS_PER_BUCKET)));
  const onSource = new TableQuery(table, settings.hashing, count);
  // Partitioned on one side only: `only` would skip all rows there, or its absence would add children's rows here.
  const onTarget = new TableQuery({ ...table, only: tables.target.only }, settings.hashing, count);
  const [here, there] = await Promise.all([buckets(source, onSource), buckets(target, onTarget)]);
  const differing = [...new Set([...here.sums.keys(), ...there.sums.keys()])].filter(
    (bucket) => here.sums.get(bucket) !== there.sums.get(bucket),
  );
  const counts = { sourceRows: here.rows, targetRows: there.rows };
  if (differing.length === 0) return { ...none, ...counts, equal: true };

  const found: Difference[] = [];
  let read = 0;
  while (read < differing.length && found.length < settings.show) {
    const part = differing.slice(read, read + BUCKETS_AT_ONCE);
    read += part.length;
    const [left, right] = await Promise.all([
      rowsOf(source, onSource, part),
      rowsOf(target, onTarget, part),
    ]);
    for (const difference of differences(left, right)) found.push(difference);
  }
  found.sort((one, other) => inKeyOrder(one.key, other.key));
  return {
    ...none,
    ...counts,
    equal: found.length === 0 && read === differing.length,
    differences: found.slice(0, settings.show),
    differing: found.length,
    complete: read === differing.length,
  };
}

/** The SQL of one table, the same text for both sides except for `only`. */
class TableQuery {
  readonly #table: ComparedTable;
  readonly #hashing: Hashing;
  readonly #buckets: number;

  constructor(table: ComparedTable, hashing: Hashing, bucketCount: number) {
    this.#table = table;
    this.#hashing = hashing;
    this.#buckets = bucketCount;
  }

  get sums(): string {
    const sums =
      this.#hashing === 'fast'
        ? 'sum(hashtextextended(content, 11)), sum(hashtextextended(content, 29))'
        : `sum(('x' || left(md5(content), 16))::bit(64)::bigint), sum(('x' || right(md5(content), 16))::bit(64)::bigint)`;
    return `select ${this.#bucket}, count(*), ${sums} from ${this.#rows} group by 1`;
  }

  rowsOf(list: readonly string[]): string {
    return `select key, md5(content) from ${this.#rows} where ${this.#bucket} in (${list.join(', ')})`;
  }

  get #bucket(): string {
    // By hash, not by value: deleted ranges would make buckets of very different sizes.
    return this.#hashing === 'fast'
      ? `mod(hashtextextended(key, 5) & 1073741823, ${this.#buckets})`
      : `mod(('x' || left(md5(key), 7))::bit(28)::integer, ${this.#buckets})`;
  }

  /** Rows as text of key and content. `offset 0` keeps the server from computing the text once per use. */
  get #rows(): string {
    const { sql, only, columns, key } = this.#table;
    const text = (names: readonly string[]) =>
      `row(${names.map((name) => `t.${quoteIdentifier(name)}`).join(', ')})::text collate "C"`;
    const content = text(columns.map((column) => column.name));
    return `(select ${key === null ? content : keyText(key)} as key, ${content} as content
             from ${only ? 'only ' : ''}${sql} t
              -- Planned under the path of the application; printed under this one, so that names have their schema.
             where (select pg_catalog.set_config('search_path', 'pg_catalog', true)) is not null offset 0) r`;
  }
}

/** `id=17` or `region=1, position=22`, as the operator types it into a query. */
function keyText(key: readonly string[]): string {
  const parts = key.map(
    (name) => `${quoteLiteral(`${name}=`)} || pg_catalog.format('%s', t.${quoteIdentifier(name)})`,
  );
  return `(${parts.join(` || ', ' || `)}) collate "C"`;
}

async function buckets(
  psql: Psql,
  query: TableQuery,
): Promise<{ rows: number; sums: Map<string, string> }> {
  const sums = new Map<string, string>();
  let rows = 0;
  for (const [bucket = '', count = '0', ...hashes] of await psql.rows(
    psql.planningPath,
    query.sums,
  )) {
    rows += Number(count);
    sums.set(bucket, `${count} ${hashes.join(' ')}`);
  }
  return { rows, sums };
}

/** Content hashes by key; several for one key where the table has no unique key. */
async function rowsOf(
  psql: Psql,
  query: TableQuery,
  list: readonly string[],
): Promise<Map<string, string[]>> {
  const rows = new Map<string, string[]>();
  await psql.each(psql.planningPath, query.rowsOf(list), ([key = '', hash = '']) => {
    const hashes = rows.get(key);
    if (hashes) hashes.push(hash);
    else rows.set(key, [hash]);
  });
  return rows;
}

function* differences(
  left: ReadonlyMap<string, readonly string[]>,
  right: ReadonlyMap<string, readonly string[]>,
): Generator<Difference> {
  for (const [key, hashes] of left) {
    const others = right.get(key) ?? [];
    // Copies of the same row differ only in their number.
    for (let copy = others.length; copy < hashes.length; copy++) {
      yield { key, kind: 'missing on target' };
    }
    if (others.length === hashes.length && sorted(hashes) !== sorted(others)) {
      yield { key, kind: 'different' };
    }
  }
  for (const [key, hashes] of right) {
    for (let copy = left.get(key)?.length ?? 0; copy < hashes.length; copy++) {
      yield { key, kind: 'only on target' };
    }
  }
}

function sorted(hashes: readonly string[]): string {
  return [...hashes].sort().join(' ');
}

/** Numbers inside keys count as numbers: id=9 comes before id=10. */
const inKeyOrder = new Intl.Collator('en', { numeric: true }).compare;

function kindsDiffer(source: ComparedTable, target: ComparedTable): string | undefined {
  if (source.view !== target.view) {
    return `a materialized view on the ${source.view ? 'source' : 'target'} only`;
  }
  if (source.filled === target.filled) return undefined;
  return `not populated on the ${source.filled ? 'target' : 'source'} (refresh materialized view)`;
}

function columnsDiffer(source: ComparedTable, target: ComparedTable): string | undefined {
  const list = (table: ComparedTable) =>
    new Map(table.columns.map(({ name, type }) => [name, type]));
  const [here, there] = [list(source), list(target)];
  const problems = [...new Set([...here.keys(), ...there.keys()])].flatMap((name) => {
    const [left, right] = [here.get(name), there.get(name)];
    if (left === right) return [];
    return [`column ${name}: ${left ?? 'not on the source'} / ${right ?? 'not on the target'}`];
  });
  return problems.length === 0 ? undefined : problems.join('; ');
}
