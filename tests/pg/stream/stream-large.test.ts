/**
 * Changes that are too large to read here, or for the source to print (1 GB): in a table that is not moved they stop nothing, in one
 * that is moved they are reported. And what large values cost that can be read.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { streamChanges } from '../../support/lease.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { peakMiB, streamProcess } from '../../support/stream-child.ts';
import {
  drain,
  endMark,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLES = /* sql */ `
  create table t (id int primary key, v int); insert into t values (1, 0);
  create table big (id int primary key, b bytea);`;
const SELECTION = { include: ['public.t'], exclude: [] };

/** More tables than the plugin's filter excludes by name, all larger than the one in question. */
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

const MEGABYTES = 50;
const MIB = 2 ** 20 / 1_000_000;

/**
 * The most memory that one value takes in addition to ordinary rows, as a multiple of its size.
 * @param small value of an ordinary row, which sockets buffer many of at any time.
 */
async function costOf(
  type: string,
  { small, large }: { readonly small: string; readonly large: string },
): Promise<number> {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, v ${type}); alter table t alter v set storage external`,
  );
  const child = streamProcess(migration);
  const { pid } = child.process;
  if (pid === undefined) throw new Error('the stream did not start');
  const insert = async (ids: string, value: string, last: number): Promise<void> => {
    await db.sourceClient.query(/* sql */ `insert into t select i, ${value} from ${ids} i`);
    await until('the row', async () => {
      const { rowCount } = await db.targetClient.query(
        /* sql */ `select from t where id = ${last}`,
      );
      return rowCount === 1;
    });
  };
  await untilStreaming(db, migration);
  await insert('generate_series(10, 30000)', small, 30_000);
  const before = peakMiB(pid);
  await insert('generate_series(1, 1)', large, 1);
  const cost = peakMiB(pid) - before;
  child.process.kill();
  await child.ended;
  const digest = /* sql */ `select md5(v) as sum from t where id = 1`;
  expect((await db.targetClient.query(digest)).rows).toEqual(
    (await db.sourceClient.query(digest)).rows,
  );
  return (cost * MIB) / MEGABYTES;
}

const TEXT = {
  small: `repeat('w', 1000)`,
  large: `repeat('x', ${MEGABYTES} * 1000000)`,
};
const ESCAPED = { ...TEXT, large: `repeat('"', ${MEGABYTES} * 500000)` };
const BYTEA = {
  small: `decode(repeat('00ff5c0a', 125), 'hex')`,
  large: `decode(repeat('00ff5c0a', ${MEGABYTES} * 250000), 'hex')`,
};

// The plugin prints bytea at twice its size.
test.each([
  ['text', 3, 'text', TEXT],
  ['text, half of it escapes in JSON,', 3, 'text', ESCAPED],
  ['bytea', 5, 'bytea', BYTEA],
] as const)(
  'a large value of %s costs at most %d times its size in the stream, next to ordinary rows',
  async (what, times, type, values) => {
    const cost = await costOf(type, values);
    process.stdout.write(`${what}: ${cost.toFixed(2)} times its size\n`);
    expect(cost).toBeLessThan(times);
  },
);
