/** A copy that takes long enough to be disturbed, and a way to see its progress. */
import { expect } from 'vitest';
import { connectTo } from './database.ts';
import type { Lab } from './lab.ts';
import { until } from './until.ts';

/** About 35 chunks of 1 MiB: enough that a kill hits a copy that has started and not ended. */
export const BIG = /* sql */ `
  create table big (id bigint primary key, filler text not null);
  insert into big select i, repeat(md5(i::text), 3) from generate_series(1, 250000) i;
  create table stall (id int primary key, v int);
  insert into stall select i, i from generate_series(1, 5000) i;`;
/** Chunks of 1 MiB, two at a time. */
export const SLOW = { copy: { parallelism: 2, chunkMegabytes: 1 } };

export interface Marks {
  done: number;
  total: number;
}

/** Chunks of `big`; null before the control schema exists. */
export async function marks(lab: Lab): Promise<Marks | null> {
  const [row] =
    await lab.onTarget<Marks>(/* sql */ `select count(done_at)::int as done, count(*)::int as total from walferry.chunk
      where first_block is not null`);
  return row && row.total > 0 ? row : null;
}

/** Waits for a copy that is under way: some chunks are marked done, not all. */
export async function underWay(lab: Lab): Promise<Marks> {
  const seen = await until(
    'some chunks to be done',
    async () => {
      const now = await marks(lab);
      return now && now.done > 2 ? now : null;
    },
    { everyMilliseconds: 5, seconds: 60 },
  );
  expect(seen.done, 'the copy was over before it could be disturbed').toBeLessThan(seen.total);
  return seen;
}

/** Locks `stall` on the source before its copy begins: the copy then waits in the middle until `release`. */
export async function stalled(
  lab: Lab,
): Promise<{ sql: (text: string) => Promise<void>; release: () => Promise<void> }> {
  const client = await connectTo(lab.pair.source);
  // Not before the plan: reading a table's size waits for its lock too.
  await until(
    'the plan',
    async () => (await lab.onTarget(/* sql */ `select 1 from walferry.chunk limit 1`)).length > 0,
    { everyMilliseconds: 2, seconds: 60 },
  );
  await client.query('begin');
  await client.query('lock table stall in access exclusive mode');
  await until('the copy to wait for the lock', async () => {
    const waiting = await lab.onSource(
      /* sql */ `select 1 from pg_locks where not granted and relation = 'stall'::regclass`,
    );
    return waiting.length > 0;
  });
  return {
    sql: async (text) => void (await client.query(text)),
    release: async () => {
      await client.query('commit');
      await client.end();
    },
  };
}

/** The number of the exported snapshot under which a table was copied. */
export async function snapshotOf(lab: Lab, table: string): Promise<number | undefined> {
  const [row] = await lab.onTarget<{ pass: number }>(
    /* sql */ `select pass from walferry.relation where table_name = '${table}'`,
  );
  return row?.pass;
}
