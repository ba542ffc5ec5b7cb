/** Whether two databases have the same rows: a number counts only if they do. */
import type { BenchServer } from './server.ts';

interface Place {
  readonly server: BenchServer;
  readonly database: string;
}

/** @throws Error naming the first table whose count or sum of row hashes differs. */
export async function expectEqual(
  one: Place,
  other: Place,
  tables: readonly string[],
): Promise<void> {
  for (let at = 0; at < tables.length; at += TABLES_PER_QUERY) {
    const some = tables.slice(at, at + TABLES_PER_QUERY);
    const [mine, theirs] = await Promise.all([contents(one, some), contents(other, some)]);
    for (const [i, table] of some.entries()) {
      if (mine[i] === theirs[i]) continue;
      throw new Error(
        `${table}: ${one.database} has ${mine[i]}; ${other.database} has ${theirs[i]}`,
      );
    }
  }
}

const TABLES_PER_QUERY = 100;

/** Count and sum of row hashes of each table, as text. */
async function contents({ server, database }: Place, tables: readonly string[]): Promise<string[]> {
  const each = tables.map(
    (table, at) =>
      `select ${at} as at, count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) as found from ${table} t`,
  );
  const rows = await server.rows<{ found: string }>(
    database,
    `${each.join(' union all ')} order by at`,
  );
  return rows.map(({ found }) => found);
}
