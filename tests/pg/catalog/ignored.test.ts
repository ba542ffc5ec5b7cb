/**
 * What the operator accepts for single tables (`ignore`): tables without a replica identity, whose inserts are streamed, and
 * unlogged tables, which are copied once.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { type MigrationInput } from '../../../contract/input-schema.ts';
import type { Lsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { releaseSlot } from '../../../postgres/cutover/release-slot.ts';
import { definitionLines } from '../../support/definition-lines.ts';
import { drainWithCopies, failureOf } from '../../support/resync.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { codes, findingsOf, only } from '../../support/preflight.ts';
import {
  drain,
  EVERYTHING,
  expectSame,
  marked,
  startMigration,
  testWork,
} from '../../support/stream.ts';

const IGNORE = { missingIdentity: ['public.log*'], unlogged: ['public.cache', 'public.kept'] };
const CHOSEN = { ...EVERYTHING, ignore: IGNORE };
const LOG = /* sql */ `create table t (id int primary key, v text); insert into t values (1, 'a');
  create table log (at int, what text); insert into log values (1, 'copied');
  create table logs (at int, what text) partition by range (at);
  create table logs_1 partition of logs for values from (0) to (1000)`;
const CACHE = /* sql */ `create table t (id int primary key, v text); insert into t values (1, 'a');
  create unlogged table cache (id int primary key, v text); insert into cache values (1, 'copied');
  create unlogged table kept (id int primary key, v text); insert into kept values (1, 'copied')`;

function inputOf(db: FreshPair): MigrationInput {
  const parsed = parseInput({ source: db.source, target: db.target, ignore: IGNORE });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

const late = async (db: FreshPair, migration: Migration, since: Lsn) =>
  laterChanges(migration, inputOf(db), since);

test('preflight refuses both kinds with the setting to paste, and warns about accepted tables and unmatched patterns', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(LOG);
  await db.sourceClient.query(
    /* sql */ `create unlogged table "Odd.one" (id int primary key); create unlogged table cache (id int primary key)`,
  );
  const found = await findingsOf(db);
  expect(codes(found)).toEqual(['unlogged-table', 'replica-identity']);
  const pasted = found.map(({ action }) => /"ignore": (\{.*?\]\})/.exec(action)?.[1] ?? '');
  const ignore: unknown = Object.assign({}, ...pasted.map((text) => JSON.parse(text) as unknown));
  expect(ignore).toEqual({
    unlogged: ['public."Odd.one"', 'public.cache'],
    missingIdentity: ['public.log', 'public.logs_1'],
  });
  const accepted = await findingsOf(db, { input: { ignore } });
  expect(accepted.map(({ level }) => level)).toEqual(['warning', 'warning']);
  // A partition follows its parent.
  const named = { missingIdentity: ['public.log', 'public.logs'], unlogged: ['*.cache', 'x.y'] };
  const rest = await findingsOf(db, { input: { ignore: named } });
  expect(rest.map(({ code, level }) => `${code} ${level}`)).toEqual([
    'unlogged-table error',
    'ignore-unmatched warning',
    'unlogged-table warning',
    'replica-identity warning',
  ]);
  expect(only(rest, 'ignore-unmatched').message).toContain('x.y');
});

test('inserts into an accepted table without replica identity arrive, also in bulk and around a TRUNCATE', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, LOG);
  await db.sourceClient.query(`insert into log values (2, 'sent'), (2, null)`);
  await db.sourceClient.query(`insert into log select i, 'many' from generate_series(3, 300) i`);
  await db.sourceClient.query(`insert into logs values (5, 'sent')`);
  expect(await drainWithCopies(db, migration, CHOSEN)).toEqual([]);
  await expectSame(db);
  await db.sourceClient.query(`truncate log; insert into log values (9, 'after')`);
  expect(await drainWithCopies(db, migration, CHOSEN)).toEqual([]);
  await expectSame(db);
  expect(await compareCounts(migration, inputOf(db), testWork())).toMatchObject({ tables: 3 });
});

for (const sql of [`update log set what = 'x' where at = 1`, `delete from log where at = 1`]) {
  test(`the first update or delete stops the stream and names the table and the fix: ${sql}`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, LOG);
    await db.sourceClient.query(`insert into log values (2, 'sent')`);
    await db.sourceClient.query(sql);
    expect(await failureOf(db, migration, CHOSEN)).toMatchObject({
      code: 'StreamWarning',
      message: expect.stringMatching(/public\.log.*give the table one.*then resume/) as string,
      details: { table: 'public.log' },
    });
    // A resume without a fix copies the current rows; the next such change stops it again.
    expect((await drainWithCopies(db, migration, CHOSEN)).join()).toContain('public.log');
    await expectSame(db);
    await db.sourceClient.query(sql.replaceAll('at = 1', 'at = 2'));
    expect(await failureOf(db, migration, CHOSEN)).toMatchObject({ code: 'StreamWarning' });
    await db.sourceClient.query(`alter table log replica identity full`);
    await drainWithCopies(db, migration, CHOSEN);
    await db.sourceClient.query(`insert into log values (4, 'z'); update log set what = 'y'`);
    expect(await drainWithCopies(db, migration, CHOSEN)).toEqual([]);
    await expectSame(db);
  });
}

test('an update or delete after the end mark refuses the cutover and names the table', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, LOG);
  await drain(db, migration, CHOSEN);
  const mark = await writeEndMark(migration);
  expect(await late(db, migration, mark)).toEqual([]);
  await db.sourceClient.query(`update log set what = 'late'`);
  expect(await late(db, migration, mark)).toEqual(['public.log']);
});

test('an accepted unlogged table is copied once, its changes are ignored, and the cutover names it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, CACHE);
  await db.sourceClient.query(`update cache set v = 'lost'; update t set v = 'sent'`);
  await db.sourceClient.query(`vacuum full cache`);
  expect(await drainWithCopies(db, migration, CHOSEN)).toEqual([]);
  const { rows } = await db.targetClient.query(
    /* sql */ `select v from cache union all select v from t`,
  );
  expect(rows).toEqual([{ v: 'copied' }, { v: 'sent' }]);
  await db.sourceClient.query(`insert into cache values (2, 'lost')`);
  expect(await compareCounts(migration, inputOf(db), testWork())).toEqual({ tables: 1, rows: 1 });
  expect(await definitionLines(migration, inputOf(db))).toEqual([
    'public.cache: rows are as of its copy (unlogged: later changes are missing)',
    'public.kept: rows are as of its copy (unlogged: later changes are missing)',
  ]);
  // Writers to it do not matter, neither for the final check nor for dropping the slot.
  await db.sourceClient.query(`begin; insert into cache values (3, 'lost')`);
  const mark = await marked(migration, CHOSEN);
  expect(await late(db, migration, mark)).toEqual([]);
  expect(await releaseSlot(migration, inputOf(db), mark)).toBe('dropped');
  await db.sourceClient.query('commit');
});

test('an accepted unlogged table that becomes logged is resynced and followed; a logged one that becomes unlogged is copied once', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    CACHE.replace('create unlogged table kept', 'create table kept'),
  );
  await db.sourceClient.query(`update cache set v = 'lost'; insert into cache values (2, 'lost')`);
  await db.sourceClient.query(`alter table cache set logged; update cache set v = v || '!'`);
  await db.sourceClient.query(`alter table kept set unlogged; update kept set v = 'as of now'`);
  // The target's table is unlogged as the source's was; from now on it has to survive a crash there.
  await expect(drain(db, migration, CHOSEN)).rejects.toThrow(
    'public.cache is unlogged on the target',
  );
  await db.targetClient.query(`alter table cache set logged`);
  const [said = ''] = await drainWithCopies(db, migration, CHOSEN);
  expect(said).toMatch(
    /changes of public\.cache are missing.*public\.kept is now unlogged on the source/,
  );
  await db.sourceClient.query(`update cache set v = 'followed'; update t set v = 'sent'`);
  expect(await drainWithCopies(db, migration, CHOSEN)).toEqual([]);
  const rows = /* sql */ `select 't', id, v from t union all select 'c', id, v from cache union all select 'k', id, v from kept order by 1, 2`;
  expect((await db.targetClient.query(rows)).rows).toEqual(
    (await db.sourceClient.query(rows)).rows,
  );
  await db.sourceClient.query(`update kept set v = 'lost'`);
  expect(await drainWithCopies(db, migration, CHOSEN)).toEqual([]);
  const mark = await writeEndMark(migration);
  expect(await late(db, migration, mark)).toEqual([]);
  await db.sourceClient.query(`alter table kept set logged`);
  expect(await late(db, migration, mark)).toEqual(['public.kept']);
});

test('the cutover names an accepted unlogged table that is empty on the target and not on the source, as a crash of the target leaves it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    `${CACHE}; create unlogged table "Odd.one" (id int primary key)`,
  );
  const ignore = { ...IGNORE, unlogged: ['*.*'] };
  const parsed = parseInput({ source: db.source, target: db.target, ignore });
  if (!parsed.ok) throw new Error(parsed.message);
  // What a crash does to it.
  await db.targetClient.query(`truncate kept`);
  const said = await definitionLines(migration, parsed.input);
  expect(said).toHaveLength(3);
  expect(said[0]).toMatch(/^public\.kept: EMPTY on the target, not on the source/);
  // Empty on both sides, and in the state after the copy.
  expect(said.slice(1).join()).toMatch(/Odd\.one: rows are as of.*public\.cache: rows are as of/);
});

const TREE = (first: string, second: string) => /* sql */ `
  create table m (id int primary key) partition by range (id);
  create ${first} table m1 partition of m for values from (0) to (100);
  create ${second} table m2 partition of m for values from (100) to (200)`;
const ROWS = /* sql */ `; insert into m values (1), (101)`;
const VIA = { include: ['*.*'], exclude: [], viaPartitionRoot: ['public.m'] };

function viaRoot(db: FreshPair, unlogged: string[]): MigrationInput {
  const parsed = parseInput({
    ...{ source: db.source, target: db.target, ignore: { unlogged }, tables: VIA },
  });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

test('an accepted unlogged partition exempts nothing of its root while another partition is logged: it is refused, not streamed, and counted', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TREE('unlogged', '') + ROWS, VIA, TREE('', ''));
  const unlogged = ['public.m*'];
  const found = await findingsOf(db, { input: { ignore: { unlogged }, tables: VIA } });
  expect(only(found, 'unlogged-table')).toMatchObject({
    level: 'error',
    message: expect.stringContaining('public.m1') as string,
    action: expect.stringMatching(/accepted only if all of them are unlogged/) as string,
  });
  expect(await failureOf(db, migration, { ...VIA, ignore: { ...IGNORE, unlogged } })).toMatchObject(
    { code: 'SchemaDrift', message: expect.stringContaining('m1') as string },
  );
  await db.targetClient.query(`delete from m where id = 101`);
  const compared = compareCounts(migration, viaRoot(db, unlogged), testWork());
  await expect(compared).rejects.toMatchObject({ code: 'NotEqual' });
});

test('a root whose partitions are all unlogged and accepted is copied once as a whole', async () => {
  await using db = await freshPair();
  const tree = TREE('unlogged', 'unlogged');
  const migration = await startMigration(db, tree + ROWS, VIA, tree);
  const unlogged = ['public.m'];
  await db.sourceClient.query(`insert into m values (2)`);
  expect(await drainWithCopies(db, migration, { ...VIA, ignore: { ...IGNORE, unlogged } })).toEqual(
    [],
  );
  const input = viaRoot(db, unlogged);
  expect(await compareCounts(migration, input, testWork())).toEqual({ tables: 0, rows: 0 });
  expect(await laterChanges(migration, input, await writeEndMark(migration))).toEqual([]);
});
