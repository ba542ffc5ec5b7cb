/**
 * Rows and sequences of a schema, compared exactly: every column as its type prints it, every row of every table. The
 * values are the fidelity suite's own and may be shown; of large ones only the start leaves the server.
 */
import pg from 'pg';

interface TableOf {
  readonly schema: string;
  readonly name: string;
  /** Quoted, with `only` where children are separate tables. */
  readonly from: string;
  readonly columns: readonly string[];
}

interface Row {
  readonly digest: string;
  readonly beginning: string;
}

const SHOWN_ROWS = 3;
const SHOWN_CHARACTERS = 300;

/** Tables with their own rows, and materialized views; partitioned ones as a whole when `whole`. */
export async function readTables(
  client: pg.ClientBase,
  schemas: readonly string[],
  whole = false,
): Promise<TableOf[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    kind: string;
    columns: string[];
  }>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, c.relkind as kind,
           array(select a.attname::text from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relispopulated
       and case when $2 then c.relkind in ('r', 'p', 'm') and not c.relispartition else c.relkind in ('r', 'm') end
     order by 1, 2`,
    [schemas, whole],
  );
  return rows.map(({ schema, name, kind, columns }) => {
    const quoted = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
    return { schema, name, columns, from: kind === 'p' ? quoted : `only ${quoted}` };
  });
}

export async function countRows(
  client: pg.ClientBase,
  tables: readonly TableOf[],
): Promise<number> {
  let count = 0;
  for (const { from } of tables) {
    const { rows } = await client.query<{ n: string }>(`select count(*) as n from ${from}`);
    count += Number(rows[0]?.n ?? 0);
  }
  return count;
}

/** What differs in a table, in words; empty when all rows are the same. */
export async function compareTable(
  source: pg.ClientBase,
  target: pg.ClientBase,
  table: TableOf,
): Promise<string[]> {
  // A row prints each column through its type's own output function; a cast would strip the blanks of char(n).
  const row = `row(${table.columns.map((name) => pg.escapeIdentifier(name)).join(', ')})::text`;
  const sql = `select md5(t) as digest, left(t, ${SHOWN_CHARACTERS}) as beginning from
    (select ${row} as t from ${table.from} offset 0) rows`;
  const name = `${table.schema}.${table.name}`;
  const left = (await source.query<Row>(sql)).rows;
  let right: Row[];
  try {
    right = (await target.query<Row>(sql)).rows;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return [`${name}: cannot be read on the target: ${error.message}`];
  }
  const missing = without(left, right);
  const extra = without(right, left);
  if (missing.length + extra.length === 0) return [];
  const show = (rows: readonly Row[]) =>
    rows.slice(0, SHOWN_ROWS).map(({ beginning }) => `    ${beginning}`);
  return [
    [
      `${name}: ${left.length} rows, ${right.length} on the target; ${missing.length} missing or different:`,
      ...show(missing),
      `  ${extra.length} that the source does not have:`,
      ...show(extra),
    ].join('\n'),
  ];
}

/** Sequences of the schemas whose state differs. */
export async function compareSequences(
  source: pg.ClientBase,
  target: pg.ClientBase,
  schemas: readonly string[],
): Promise<string[]> {
  const { rows } = await source.query<{ name: string }>(
    /* sql */ `select format('%I.%I', schemaname, sequencename) as name from pg_catalog.pg_sequences
      where schemaname = any($1) order by 1`,
    [schemas],
  );
  const differences: string[] = [];
  for (const { name } of rows) {
    const sql = `select last_value || ' ' || is_called as state from ${name}`;
    const [a, b] = [
      (await source.query<{ state: string }>(sql)).rows[0]?.state,
      (await target.query<{ state: string }>(sql)).rows[0]?.state,
    ];
    if (a !== b) differences.push(`sequence ${name} stands at ${b ?? '?'} instead of ${a ?? '?'}`);
  }
  return differences;
}

/** Rows of `a` that are not in `b`, duplicates counted. */
function without(a: readonly Row[], b: readonly Row[]): Row[] {
  const left = new Map<string, number>();
  for (const { digest } of b) left.set(digest, (left.get(digest) ?? 0) + 1);
  return a.filter(({ digest }) => {
    const n = left.get(digest) ?? 0;
    left.set(digest, n - 1);
    return n <= 0;
  });
}
