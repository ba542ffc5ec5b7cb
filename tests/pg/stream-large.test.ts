/**
 * Changes that are too large to read here, or for the source to print (1 GB): in a table that is not moved they stop nothing, in one
 * that is they are reported.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../contract/input.ts';
import { laterChanges } from '../../postgres/cutover/later-changes.ts';
import { streamChanges } from '../support/lease.ts';
import { freshPair, type FreshPair } from '../support/database.ts';
import { peakMiB, streamProcess } from '../support/stream-child.ts';
import {
  drain,
  endMark,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../support/stream.ts';
import { until } from '../support/until.ts';

const TABLES = /* sql */ `
  create table t (id int primary key, v int); insert into t values (1, 0);
  create table big (id int primary key, b bytea);`;
const SELECTION = { include: ['public.t'], exclude: [] };

/** More tables than the plugin is told to leave out, all larger than the one in question. */
async function hide(db: FreshPair): Promise<void> {
  for (let i = 0; i < 25; i += 1) {
    await db.sourceClient.query(/* sql */ `create table left_${i} (id int primary key)`);
    await db.sourceClient.query(/* sql */ `insert into left_${i} values (1)`);
    await db.sourceClient.query(/* sql */ `analyze left_${i}`);
  }
}

/** The bytea prints at twice its size. */
const insert = (megabytes: number) =>
  /* sql */ `insert into big values (1, convert_to(repeat('y', ${megabytes} * 1000000), 'UTF8'))`;

async function valueOf(db: FreshPair): Promise<number | undefined> {
  const { rows } = await db.targetClient.query<{ v: number }>(/* sql */ `select v from t`);
  return rows[0]?.v;
}

test('a message that is too long to read is skipped if its table is not moved, and reported with its table if it is', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLES, SELECTION);
  await hide(db);
  await db.sourceClient.query(insert(1));
  await db.sourceClient.query(/* sql */ `update t set v = 1`);
  const limits = { messageBytes: 2 ** 20 };
  await drain(db, migration, { ...SELECTION, limits });
  expect(await valueOf(db)).toBe(1);

  await using other = await freshPair();
  const all = { include: ['public.*'], exclude: [], limits };
  const selected = await startMigration(other, TABLES, all);
  await other.sourceClient.query(insert(1));
  const until = await endMark(other);
  const failure = streamChanges(selected, { ...OPTIONS, ...all, until }, testWork());
  await expect(failure).rejects.toMatchObject({
    ...{ code: 'StreamMalformed', details: { table: 'public.big' } },
    message: expect.stringMatching(/a change of public\.big, is 2 MiB/) as string,
  });
});

test('a row that the source cannot print stops neither the stream nor the final check if its table is not moved', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLES, SELECTION);
  await hide(db);
  const since = await endMark(db);
  await db.sourceClient.query(insert(540));
  const parsed = parseInput({ source: db.source, target: db.target, tables: SELECTION });
  if (!parsed.ok) throw new Error(parsed.message);
  expect(await laterChanges(migration, parsed.input, since)).toEqual([]);
  await db.sourceClient.query(/* sql */ `update t set v = 2`);
  await drain(db, migration, SELECTION);
  expect(await valueOf(db)).toBe(2);
});

test.each([
  ['text', `repeat('x', 100000000)`],
  ['text that JSON escapes', `repeat('"', 50000000)`],
])('a value of 100 MB of %s costs at most four times its size in the stream', async (_, value) => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v text); alter table t alter v set storage external`,
  );
  const child = streamProcess(migration);
  const { pid } = child.process;
  if (pid === undefined) throw new Error('the stream did not start');
  await untilStreaming(db, migration);
  await db.sourceClient.query(/* sql */ `insert into t values (1, 'small')`);
  const arrived = async (rows: number): Promise<void> => {
    await until(
      'the row',
      async () => (await db.targetClient.query('select from t')).rowCount === rows,
    );
  };
  await arrived(1);
  const before = peakMiB(pid);
  await db.sourceClient.query(/* sql */ `insert into t values (2, ${value})`);
  await arrived(2);
  const cost = peakMiB(pid) - before;
  child.process.kill();
  await child.ended;
  const digest = /* sql */ `select id, md5(v) as sum from t order by id`;
  expect((await db.targetClient.query(digest)).rows).toEqual(
    (await db.sourceClient.query(digest)).rows,
  );
  process.stdout.write(`${cost.toFixed(0)} MiB beside it\n`);
  expect(cost).toBeLessThan((4 * 100_000_000) / 2 ** 20);
});
