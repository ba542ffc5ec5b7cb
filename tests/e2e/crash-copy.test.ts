/** Whatever dies during the copy: the copy goes on with what is left, and every row arrives once. */
import { expect, test } from 'vitest';
import { connectTo, targetServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { restartTemporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker.ts';

/** About 35 chunks of 1 MiB: enough that a kill meets a copy that has begun and has not ended. */
const BIG = /* sql */ `
  create table big (id bigint primary key, filler text not null);
  insert into big select i, repeat(md5(i::text), 3) from generate_series(1, 250000) i;
  create table stall (id int primary key, v int);
  insert into stall select i, i from generate_series(1, 5000) i;`;
const SLOW = { copy: { parallelism: 2, chunkMegabytes: 1 } };

interface Marks {
  done: number;
  total: number;
}

/** Chunks of `big`; null while the control schema is not there. */
async function marks(lab: Lab): Promise<Marks | null> {
  const [row] =
    await lab.onTarget<Marks>(/* sql */ `select count(done_at)::int as done, count(*)::int as total from walferry.chunk
      where first_block is not null`);
  return row && row.total > 0 ? row : null;
}

/** Waits for a copy that is under way: some chunks are marked done, not all. */
async function underWay(lab: Lab): Promise<Marks> {
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
async function stalled(
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

async function generationOf(lab: Lab, table: string): Promise<number | undefined> {
  const [row] = await lab.onTarget<{ generation: number }>(
    /* sql */ `select generation from walferry.relation where table_name = '${table}'`,
  );
  return row?.generation;
}

interface Mark {
  id: number;
  done_at: string;
  worker: string;
}

async function doneMarks(lab: Lab): Promise<Mark[]> {
  return lab.onTarget<Mark>(
    /* sql */ `select id, done_at::text, worker from walferry.chunk where done_at is not null order by id`,
  );
}

/** The process that holds the snapshot: its log says so. */
function holderOf(lab: Lab): WorkerProcess | undefined {
  return lab.workers.find((worker) => worker.log().includes('a snapshot is held'));
}

test('a worker killed with SIGKILL in the copy costs only the chunks in flight', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await Promise.all([lab.worker({ name: 'left' }), lab.worker({ name: 'right' })]);
  lab.load();
  await lab.start(SLOW);
  await underWay(lab);
  await lab.workers.find((worker) => worker !== holderOf(lab))?.kill();
  const before = await doneMarks(lab);
  await lab.phase('stream');
  const after = new Map((await doneMarks(lab)).map((mark) => [mark.id, mark]));
  // Same time and same worker: not copied again.
  for (const mark of before) expect(after.get(mark.id)).toEqual(mark);
  await lab.finish();
});

test('the worker that holds the snapshot killed with SIGKILL costs only unfinished tables', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  const first = await lab.worker({ name: 'first' });
  lab.load();
  await lab.start(SLOW);
  await underWay(lab);
  await first.kill();
  await lab.worker({ name: 'second' });
  await lab.phase('stream');
  expect(await generationOf(lab, 'big')).toBeGreaterThan(1);
  await lab.finish();
});

test('a lost snapshot costs only the tables that were not finished', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start({ copy: { parallelism: 4, chunkMegabytes: 8 } });
  const lock = await stalled(lab);
  await until('the other tables to be copied', async () => {
    const now = await marks(lab);
    return now !== null && now.done === now.total;
  });
  // The copy that waits has the snapshot imported and would survive its holder: both have to go.
  await lab.onSource(/* sql */ `select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ 'walferry'
      and datname = current_database() and pid <> pg_backend_pid()`);
  await until('the next generation', async () => {
    const rows = await lab.onTarget(/* sql */ `select 1 from walferry.generation where number > 1`);
    return rows.length > 0;
  });
  await lock.release();
  await lab.phase('stream');
  expect(await generationOf(lab, 'big')).toBe(1);
  expect(await generationOf(lab, 'stall')).toBeGreaterThan(1);
  await lab.finish();
});

test.each([
  [
    'truncated and filled again',
    'truncate stall; insert into stall select i, -i from generate_series(1, 300) i',
  ],
  ['rewritten', 'cluster stall using stall_pkey; update stall set v = v + 1 where id < 50'],
])('a table that is %s under its copy is taken again, and complete', async (_, sql) => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start({ copy: { parallelism: 4, chunkMegabytes: 8 } });
  const lock = await stalled(lab);
  await lock.sql(sql);
  await lock.release();
  await lab.phase('stream');
  expect(await generationOf(lab, 'stall')).toBeGreaterThan(1);
  expect(await generationOf(lab, 'big')).toBe(1);
  await lab.finish();
});

test('two workers share one copy; the marks show both', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await Promise.all([lab.worker({ name: 'left' }), lab.worker({ name: 'right' })]);
  lab.load();
  await lab.start(SLOW);
  await lab.phase('stream');
  const workers = await lab.onTarget<{ worker: string }>(
    /* sql */ `select distinct worker from walferry.chunk where done_at is not null`,
  );
  expect(workers).toHaveLength(2);
  await lab.finish();
});

test('a Temporal server killed in the copy and started again loses nothing', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start(SLOW);
  await underWay(lab);
  await restartTemporal();
  await lab.phase('stream');
  await lab.finish();
});

test('a target killed in the copy and started again loses nothing', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start(SLOW);
  await underWay(lab);
  await targetServer().kill();
  await targetServer().start();
  await lab.phase('stream');
  await lab.finish();
});
