/** A fence on the source is no part of the database that moves: not for the stream, another migration's dump, or the comparisons. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import { definitionLines } from '../../support/definition-lines.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import { recordedWork } from '../../support/control.ts';
import { freshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { Steps } from '../../support/steps.ts';
import { REFUSED, stateOf } from './fenced.ts';

const SCHEMA = /* sql */ `
  create table person (id int primary key, name text);
  create table parted (id int, r int, primary key (id, r)) partition by list (r);
  create table parted_0 partition of parted for values in (0);
  insert into person select g, 'x' from generate_series(1, 50) g; insert into parted values (1, 0)`;

test('installing, arming, sealing and opening while the stream runs changes no table for it and sends nothing to the target', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  await using run = new Steps(db.source, db.target);
  const { migration, input } = run;
  await run.copy();
  await run.indexes();
  await run.drain();
  const fence = fenceOf('trigger');
  await using source = await connectSource(migration, 'cutover');
  await fence.install(source, migration, input, recordedWork());
  await db.sourceClient.query(/* sql */ `insert into person values (100, 'before')`);
  await run.drain();
  const cutover = randomUUID();
  await fence.arm(source, migration, { cutover, milliseconds: 120_000 });
  await fence.prove(source, migration, recordedWork(), { withinMs: 10_000, endSessions: false });
  const mark = await run.drain();
  expect(await fence.seal(source, migration, cutover)).toBe(true);
  expect(await stateOf(db.sourceClient, /* sql */ `delete from person`)).toBe(REFUSED);
  // Gate and functions change no selected table.
  expect(await laterChanges(migration, input, mark)).toEqual([]);
  expect(await definitionLines(migration, input)).toEqual([]);
  await fence.open(source, migration, cutover);
  await db.sourceClient.query(/* sql */ `insert into person values (101, 'after')`);
  await run.drain();
  await expectEqual(db.sourceClient, db.targetClient);
  const { rows } = await db.targetClient.query(
    /* sql */ `select nspname from pg_namespace where nspname = 'walferry_fence'`,
  );
  expect(rows).toEqual([]);
});

test('another migration of a fenced source moves neither the fence nor its triggers, and lists them nowhere', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  await using first = new Steps(db.source, db.target);
  await using source = await connectSource(first.migration, 'cutover', { unregistered: 'yet' });
  await fenceOf('trigger').install(source, first.migration, first.input, recordedWork());
  await using second = new Steps(db.source, db.target);
  await second.copy();
  await second.indexes();
  await second.cutover();
  const { rows } = await db.targetClient.query(/* sql */ `
    select tgname::text as name from pg_trigger where tgname like '~walferry%'
    union all select nspname from pg_namespace where nspname = 'walferry_fence'
    union all select object from walferry.left_out where object like '%fence%'`);
  expect(rows).toEqual([]);
});
