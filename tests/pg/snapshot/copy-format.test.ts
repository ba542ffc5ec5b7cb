/** Text or binary: the rows are the same, and binary is used only where both servers read the bytes alike. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CopyFormat } from '../../../contract/input-schema.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { copyChunks } from '../../../postgres/snapshot/copy-run.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import type { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { failureOf } from '../../support/resync.ts';
import { copyAll, holding, inputOf, recordedWork, registered } from '../../support/control.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { serverOf } from '../../support/versions.ts';
import { startMigration } from '../../support/stream.ts';
import { findingsOf, only } from '../../support/preflight.ts';

/** Copies everything. `planned` runs on the target before the first row. Returns the bytes sent, which differ between the formats. */
async function copied(db: FreshPair, format: CopyFormat, planned = ''): Promise<number> {
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  await using held = await holding(db, migration);
  const plan = await planCopy(migration, inputOf(db), recordedWork());
  await db.targetClient.query(planned);
  let bytes = 0;
  for (const run of plan.runs) {
    const { pass } = plan;
    bytes += (await copyChunks(migration, { pass, run, format }, recordedWork())).bytes;
  }
  await held.stop();
  return bytes;
}

async function pairOf(tables: string, rows: string): Promise<FreshPair> {
  const db = await freshPair();
  await db.sourceClient.query(tables);
  await db.targetClient.query(tables);
  await db.sourceClient.query(rows);
  return db;
}

const EVERY_TYPE = /* sql */ `
  create type mood as enum ('sad', 'happy'); create domain positive as numeric(12, 3) check (value > 0); create domain above as positive;
  create table every (
    id bigint primary key, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, o oid, l pg_lsn,
    t text, v varchar(9), c char(5), na name, ch "char", by bytea, u uuid, j json, jb jsonb,
    d date, ti time, tz timetz, ts timestamp(3), tt timestamptz, iv interval,
    ip inet, ci cidr, m macaddr, m8 macaddr8, bi bit(4), vb varbit,
    p point, bx box, pa path, po polygon, cr circle, ls lseg, li line,
    e mood, dom above, arr int[], tarr text[], g int generated always as (i2 * 2) stored)`;
const EVERY_ROW = /* sql */ `
  insert into every (id) values (2);
  insert into every (id, b, i2, i8, f4, f8, n, o, l, t, v, c, na, ch, by, u, j, jb) values
    (3, false, 0, -1, '1e-45', '0.1', '0.00000000000000000000000000000000001', 0, '0/0', '', '', '', '', '', '', null, 'null', 'null');
  insert into every values
    (1, true, -32768, 9223372036854775807, 'NaN', '-Infinity', 'NaN', 4294967295, 'FFFFFFFF/FFFFFFFF',
     E'tab\\t nl\\n bs\\\\ \\\\N', 'ab  ', 'ab', 'name', 'x', '\\x00ff0a5c', gen_random_uuid(), '{"a": 1.0,  "a": 2}', '{"k": [1, null]}',
     '4713-01-01 BC', '24:00', '23:59:59.999999-14', 'infinity', '-infinity', '-1 mon 2 days -03:04:05.6',
     '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '1010', '101',
     '(1.5,-0)', '((0,0),(1,1))', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),1e-300>', '[(0,0),(1,1)]', '{1,2,3}',
     'happy', 1.500, '[2:3]={1,null}', '{{a,"b,c"},{NULL,""}}', default)`;

test('every type of the list arrives unchanged in binary', async () => {
  await using db = await pairOf(EVERY_TYPE, EVERY_ROW);
  const binary = await copied(db, 'binary');
  await expectEqual(db.sourceClient, db.targetClient);
  await using other = await pairOf(EVERY_TYPE, EVERY_ROW);
  expect(await copied(other, 'text')).not.toBe(binary);
  await expectEqual(other.sourceClient, other.targetClient);
  await using third = await pairOf(EVERY_TYPE, EVERY_ROW);
  expect(await copied(third, 'auto'), 'auto takes binary').toBe(binary);
});

const LONG_NUMBERS = `insert into t select g, g * 1000000007::int8 from generate_series(1, 1000) g`;

test('a column whose type changed on the target after the plan is copied as text: the same bytes would be another number', async () => {
  const tables = `create table t (id int primary key, v int8)`;
  await using db = await pairOf(tables, LONG_NUMBERS);
  await copied(db, 'auto', `alter table t alter column v type float8`);
  const sum = `select sum(v)::numeric::text as sum from t`;
  expect((await db.targetClient.query(sum)).rows).toEqual((await db.sourceClient.query(sum)).rows);
});

test('a type whose binary format is specific to its server is copied as text, and refused where binary is required', async () => {
  const tables = `
    create type pair as (a int, b text); create table t (id int primary key, v pair, r int4range)`;
  const rows = `insert into t select g, row(g, 'x')::pair, int4range(g, g + 1) from generate_series(1, 50) g`;
  await using db = await pairOf(tables, rows);
  await copied(db, 'auto');
  await expectEqual(db.sourceClient, db.targetClient);
  await using other = await pairOf(tables, rows);
  await expect(copied(other, 'binary')).rejects.toMatchObject({
    code: 'CopyFailed',
    message: expect.stringMatching(/public\.t .*binary form.*use "auto"/) as string,
  });
});

test('preflight names the columns that a binary copy cannot move', async () => {
  await using db = await pairOf(
    /* sql */ `create type pair as (a int, b text); create table t (id int primary key, v pair, r int4range, n int)`,
    '',
  );
  const binary = { copy: { format: 'binary' } };
  const found = only(await findingsOf(db, { input: binary }), 'binary-form');
  expect(found).toMatchObject({ level: 'error' });
  expect(found.message).toMatch(/public\.t\.r, public\.t\.v|public\.t\.v, public\.t\.r/);
  expect((await findingsOf(db)).filter(({ code }) => code === 'binary-form')).toEqual([]);
});

const NEWER = findOther(17);
const LARGEST = '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807';
/** No server can read its own text output of it. */
const SMALLEST = `(interval '-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807' - interval '1 microsecond')`;

describe.skipIf(!NEWER)('from 15 to 17', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    if (NEWER) server = await serverOf('target', NEWER);
  });
  afterAll(() => server.stop('immediate'));

  test('an interval that the target would store as infinity is refused with its column, in the copy and in the stream, at any depth', async () => {
    await using db = await freshPair({ target: server });
    const tables = /* sql */ `
      create type span as (n int, i interval); create domain wait as interval;
      create table t (id int primary key, v text, i interval, d wait, a interval[], s span)`;
    await db.sourceClient.query(tables);
    await db.targetClient.query(tables);
    await db.sourceClient.query(
      `insert into t (id, v, i) select n, '${LARGEST}', '-178000000 years 1 day' from generate_series(1, 9) n`,
    );
    const migration = await registered(db);
    await createSlot(migration, recordedWork());
    const copy = async (): Promise<unknown> => {
      await using held = await holding(db, migration);
      const plan = await planCopy(migration, inputOf(db), recordedWork());
      await copyAll(migration, plan);
      return held.pass.number;
    };
    for (const [column, value] of [
      ['i', `'${LARGEST}'`],
      ['d', SMALLEST],
      ['a', `array['1 day', '${LARGEST}']::interval[]`],
      ['s', `row(1, ${SMALLEST})`],
    ] as const) {
      await db.sourceClient.query(`update public.t set ${column} = ${value} where id = 5`);
      const refused = await copy().catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'CopyFailed', details: { table: 'public.t', column } });
      expect(String(refused)).not.toContain('2562047788');
      await db.sourceClient.query(`update public.t set ${column} = null where id = 5`);
    }
    await copy();
    expect(await failureOf(db, migration)).toBeNull();
    await expectEqual(db.sourceClient, db.targetClient);
    await db.sourceClient.query(
      `update public.t set v = ${SMALLEST}::text, i = '1 day' where id = 6`,
    );
    expect(await failureOf(db, migration)).toBeNull();
    await db.sourceClient.query(
      `update public.t set s = row(1, interval '${LARGEST}') where id = 7`,
    );
    const met = await failureOf(db, migration);
    expect(met?.code).toBe('Resync');
    expect(met?.message).toContain('column "s"');
    expect(met?.message).not.toContain('2562047788');
    expect(await copy().catch((error: unknown) => error)).toMatchObject({ code: 'CopyFailed' });
    await db.sourceClient.query(`update public.t set s = null where id = 7`);
    await copy();
    expect(await failureOf(db, migration)).toBeNull();
    await expectEqual(db.sourceClient, db.targetClient);
  });
});

const OLDER = findOther(13);

test.skipIf(!OLDER)(
  'tables with "char" that appear later need a decision where the target is older than 15',
  async () => {
    if (!OLDER) return;
    await using server = await serverOf('target', OLDER);
    await using db = await freshPair({ target: server });
    const tables = /* sql */ `create table t (id int primary key)`;
    const migration = await startMigration(db, tables);
    for (const side of [db.sourceClient, db.targetClient]) {
      await side.query(`create table public.late (id int primary key, c "char"[])`);
    }
    await db.sourceClient.query(`insert into late values (1, array['\\344'::"char"])`);
    const refused = await failureOf(db, migration);
    expect(refused).toMatchObject({
      code: 'SchemaDrift',
      details: { table: 'public.late', column: 'c' },
    });
    expect(refused?.message).toContain('"char"');
  },
);
