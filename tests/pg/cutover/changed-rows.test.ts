/** The share of the time of one table: whatever of it takes too long, the table is named as not compared, and nothing is thrown. */
import { expect, test } from 'vitest';
import { compareChangedRows, NO_TIME } from '../../../postgres/cutover/changed-rows.ts';
import { connectTarget } from '../../../postgres/session/open.ts';
import { openSides } from '../../../postgres/verification/sides.ts';
import { recordedWork, registered } from '../../support/control.ts';
import { freshPair } from '../../support/database.ts';

/** Without an index, so that a lookup reads all rows, which takes longer than the shortest timeout. */
const DDL = /* sql */ `create table public.t (id int); insert into public.t select g from generate_series(1, 300000) g`;
const NAME = [{ schema: 'public', name: 't' }];
const LONG_MS = 60_000;

test('lookups that take longer than the time that is left, together or one alone, leave out their table', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const since = { source: 0n, target: 0n };
  for (const side of ['source', 'target'] as const) {
    const client = side === 'source' ? db.sourceClient : db.targetClient;
    await client.query(DDL);
    const { rows } = await client.query<{ now: string }>(
      /* sql */ `select pg_current_xact_id()::text as now`,
    );
    since[side] = BigInt(rows[0]?.now ?? 0);
  }
  await db.sourceClient.query(/* sql */ `insert into public.t values (-1)`);
  await using target = await connectTarget(migration, 'cutover');
  await using sides = await openSides(migration, target, recordedWork().signal);
  const shape = {
    ...{ source: NAME, target: NAME, columns: ['id'], key: ['id'], notCompared: [] },
  };
  const asked = async (left: (call: number) => number) => {
    let call = 0;
    return compareChangedRows(sides, { id: 1, shape, since }, () => left(++call));
  };
  expect(await asked(() => LONG_MS)).toEqual({ rows: 1, differing: 1 });
  // Both reads of new versions ask first.
  const READS = 2;
  const LIMITS = 2;
  expect(await asked((call) => (call <= READS + LIMITS ? LONG_MS : 0))).toBe(NO_TIME);
  expect(await asked((call) => (call <= READS ? LONG_MS : 1))).toBe(NO_TIME);
});

test('a row with a new version on one side only is found in a table whose statistics call a function with names that only the path of the application finds', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const since = { source: 0n, target: 0n };
  for (const side of ['source', 'target'] as const) {
    const client = side === 'source' ? db.sourceClient : db.targetClient;
    await client.query(/* sql */ `
      set search_path = public;
      create table t (id int, kind regclass, v text, primary key (id, kind));
      create function inner_f(text) returns text language sql immutable as 'select $1';
      create function f(text) returns text language sql immutable as 'select inner_f($1)';
      insert into t select g, 't', 'old' from generate_series(1, 10) g;
      create statistics s on (f(v)) from t`);
    const { rows } = await client.query<{ now: string }>(
      /* sql */ `select pg_current_xact_id()::text as now`,
    );
    since[side] = BigInt(rows[0]?.now ?? 0);
  }
  // The same row, written again: its new version is on one side only, and nothing differs.
  await db.sourceClient.query(/* sql */ `update t set v = v where id = 3`);
  await using target = await connectTarget(migration, 'cutover');
  await using sides = await openSides(migration, target, recordedWork().signal);
  const parts = [{ schema: 'public', name: 't' }];
  const shape = {
    ...{ source: parts, target: parts, columns: ['id', 'kind', 'v'], notCompared: [] },
    key: ['id', 'kind'],
  };
  const compared = () => compareChangedRows(sides, { id: 1, shape, since }, () => LONG_MS);
  expect(await compared()).toEqual({ rows: 1, differing: 0 });
  await db.sourceClient.query(/* sql */ `update t set v = 'new' where id in (4, 5)`);
  expect(await compared()).toEqual({ rows: 3, differing: 2 });
});
