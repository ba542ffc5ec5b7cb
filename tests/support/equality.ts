/**
 * Exact comparison of two databases for tests: every row of every table as text under pinned settings, and every
 * sequence. Shares no code with the copy, the stream or `walferry compare`.
 */
import type pg from 'pg';
import { expect } from 'vitest';

const PIN = /* sql */ `set datestyle = 'ISO'; set intervalstyle = 'postgres'; set timezone = 'UTC';
  set extra_float_digits = 3; set bytea_output = 'hex'; set lc_monetary = 'C'; set search_path = ''`;

/** Of a row; the state of a sequence is none. */
const DIGEST = /^[0-9a-f]{32}$/;

const TABLES = /* sql */ `
  select format('%I.%I', n.nspname, c.relname) as name, c.relkind
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'S') and c.relpersistence = 'p'
    and n.nspname not in ('pg_catalog', 'information_schema', 'walferry', 'walferry_fence')
  order by 1`;

/** Row digests of one database: table → sorted digests, and sequence → its state. */
export async function fingerprint(client: pg.Client): Promise<Map<string, string[]>> {
  await client.query(PIN);
  const relations = await client.query<{ name: string; relkind: string }>(TABLES);
  const result = new Map<string, string[]>();
  for (const { name, relkind } of relations.rows) {
    const sql =
      relkind === 'S'
        ? `select last_value::text || ' ' || is_called::text as row from ${name}`
        : `select md5(t::text) as row from only ${name} t order by 1`;
    const rows = await client.query<{ row: string }>(sql);
    result.set(
      name,
      rows.rows.map((r) => r.row),
    );
  }
  return result;
}

/** Fails with the tables that differ and by how many rows; values stay in the databases. */
export async function expectEqual(source: pg.Client, target: pg.Client): Promise<void> {
  expect(await differencesOf(source, target)).toEqual([]);
}

/**
 * The tables that differ and by how many rows.
 * @param sequences `ahead`: theirs may differ, as after a cutover with a margin.
 */
export async function differencesOf(
  source: pg.Client,
  target: pg.Client,
  sequences: 'equal' | 'ahead' = 'equal',
): Promise<string[]> {
  const [a, b] = [await fingerprint(source), await fingerprint(target)];
  const differences: string[] = [];
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    const left = a.get(name);
    const right = b.get(name);
    if (!left || !right) {
      differences.push(`${name}: only on the ${left ? 'source' : 'target'}`);
      continue;
    }
    if (sequences === 'ahead' && left.every((row) => !DIGEST.test(row)) && left.length > 0)
      continue;
    const missing = without(left, right);
    const extra = without(right, left);
    if (missing + extra > 0) {
      differences.push(
        `${name}: ${left.length} rows, ${right.length} on the target, ${missing} missing or different, ${extra} that the source does not have`,
      );
    }
  }
  // An empty comparison proves nothing.
  expect([...a.values()].reduce((n, rows) => n + rows.length, 0)).toBeGreaterThan(0);
  return differences;
}

/**
 * Fails when the target has a row that the source does not have, or has it more often. Sequences are not compared.
 */
export async function expectContained(source: pg.Client, target: pg.Client): Promise<void> {
  const [a, b] = [await fingerprint(source), await fingerprint(target)];
  const foreign = [...b].flatMap(([name, rows]) => {
    // An entry that is not a digest is the state of a sequence, which only the cutover sets.
    const extra = without(
      rows.filter((row) => DIGEST.test(row)),
      a.get(name) ?? [],
    );
    return extra > 0 ? [`${name}: ${extra} rows that the source does not have`] : [];
  });
  expect(foreign).toEqual([]);
  expect([...b.values()].reduce((n, rows) => n + rows.length, 0)).toBeGreaterThan(0);
}

/** How many entries of `a` are not in `b`, duplicates counted. */
function without(a: readonly string[], b: readonly string[]): number {
  const left = new Map<string, number>();
  for (const row of b) left.set(row, (left.get(row) ?? 0) + 1);
  let count = 0;
  for (const row of a) {
    const n = left.get(row) ?? 0;
    if (n === 0) count++;
    else left.set(row, n - 1);
  }
  return count;
}
