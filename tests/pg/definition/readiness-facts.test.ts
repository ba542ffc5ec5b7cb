/** Readiness as it is measured on real servers: each fact is provoked. */
import { expect, test } from 'vitest';
import { judge } from '../../../contract/readiness-judge.ts';
import { assessReadiness } from '../../../postgres/readiness/assess-readiness.ts';
import { dropSlot } from '../../../postgres/slot/drop-slot.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { loginOn } from '../../support/preflight.ts';
import { startMigration } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { inputOf } from '../schema/schema-fidelity.ts';

const KNOWN = { consistent: true, constraintsBuilt: true, lagSeconds: 0 };

test('each finding that a server can show is measured, and none is found without its cause', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    `create table t (id int primary key, v text); create sequence counter; create index t_v on t (v); insert into t values (1, 'a')`,
  );
  const input = inputOf(db);
  const codes = async () =>
    judge(await assessReadiness(migration, input), KNOWN, '')
      .findings.map(({ code }) => code)
      .sort();
  await db.targetClient.query('analyze');
  expect(await codes()).toEqual([]);

  const before = await assessReadiness(migration, input);
  expect(before).toMatchObject({ slot: { safeBytes: null }, writer: null, invalidIndexes: [] });
  await db.sourceClient.query(
    `insert into t select i, repeat('x', 500) from generate_series(2, 5000) i`,
  );
  const after = await assessReadiness(migration, input);
  expect(after.lagBytes).toBeGreaterThan(before.lagBytes + 1_000_000);
  expect(after.slot?.heldBytes).toBeGreaterThan((before.slot?.heldBytes ?? 0) + 1_000_000);

  await using writer = await connectTo(db.source);
  await writer.query(`set application_name = 'app'; begin; insert into t values (0, 'open')`);
  const { rows } = await writer.query<{ pid: number }>(`select pg_backend_pid() as pid`);
  const open = await assessReadiness(migration, input);
  expect(open.writer).toMatchObject({ pid: rows[0]?.pid, application: 'app' });
  const late = { ...open, writer: open.writer && { ...open.writer, seconds: 11 } };
  expect(judge(late, KNOWN, '').findings).toMatchObject([{ code: 'long-writer' }]);
  // A reader is none.
  await writer.query(`rollback; begin; select count(*) from t`);
  expect((await assessReadiness(migration, input)).writer).toBeNull();
  await writer.query(`rollback`);

  await db.targetClient.query(
    `update pg_catalog.pg_index set indisvalid = false where indexrelid = (select oid from pg_class where relname = 't_v')`,
  );
  expect(await codes()).toEqual(['index-invalid']);
  await db.targetClient.query(
    `update pg_catalog.pg_index set indisvalid = true where indexrelid = (select oid from pg_class where relname = 't_v')`,
  );

  await db.targetClient.query(
    `create table public.other (like public.t); drop table public.t; alter table public.other rename to t; insert into public.t values (1, 'a')`,
  );
  // Statistics of a transaction arrive a moment after its end.
  expect(
    await until('the new table to be noticed', async () =>
      (await codes()).length > 0 ? codes() : null,
    ),
  ).toEqual(['not-analyzed']);
  await db.targetClient.query('analyze public.t');
  expect(await codes()).toEqual([]);

  await dropSlot(migration);
  expect(await codes()).toEqual(['slot-lost']);
});

test('an open prepared transaction and a sequence that is not readable are found', async () => {
  await using db = await freshPair();
  await using login = await loginOn(db, 'source');
  const migration = await startMigration(db, `create table t (id serial primary key)`);
  const input = inputOf(db);
  await db.sourceClient.query(
    `begin; insert into t values (7); prepare transaction 'readiness_${db.source}'`,
  );
  try {
    const facts = await assessReadiness(migration, input);
    expect(facts.prepared.count).toBe(1);
    expect(facts.unreadableSequences).toEqual([]);
    await db.sourceClient.query(`grant select on t to ${login.role}`);
    const limited = await assessReadiness({ ...migration, source: login.service }, input);
    expect(limited.unreadableSequences).toEqual(['public.t_id_seq']);
  } finally {
    await db.sourceClient.query(`rollback prepared 'readiness_${db.source}'`);
  }
});
