/** Whether two databases hold the same rows: a number counts only when they do. */
import type { BenchServer } from './server.ts';

/** @throws Error naming the first table whose count or sum of row hashes differs. */
export async function expectEqual(
  one: { readonly server: BenchServer; readonly database: string },
  other: { readonly server: BenchServer; readonly database: string },
  tables: readonly string[],
): Promise<void> {
  for (const table of tables) {
    const sql = `select count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from ${table} t`;
    const [mine, theirs] = await Promise.all([
      one.server.value(one.database, sql),
      other.server.value(other.database, sql),
    ]);
    if (mine !== theirs) {
      throw new Error(`${table}: ${one.database} has ${mine}; ${other.database} has ${theirs}`);
    }
  }
}
