/** Readiness as it is measured on real servers: each fact is provoked. */
import { expect, test } from 'vitest';
import { reverseOf } from '../../../contract/reversed.ts';
import { judge } from '../../../contract/readiness-judge.ts';
import { assessReadiness } from '../../../postgres/readiness/assess-readiness.ts';
import { dropSlot } from '../../../postgres/slot/drop-slot.ts';
import { findPostgres } from '../../../scripts/local/setup/postgres-programs.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { loginOn } from '../../support/preflight.ts';
import { startMigration } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';
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

test('a slot that is about to lose WAL is found before it has, and one that has lost it blocks', async () => {
  const { folder } = findPostgres() ?? expect.fail('no PostgreSQL');
  await using server = await serverOf('source', { folder, version: 'limited' });
  await using db = await freshPair({ source: server });
  const migration = await startMigration(db, `create table t (id int primary key)`);
  const input = inputOf(db);
  const found = async () =>
    judge(await assessReadiness(migration, input), KNOWN, '').findings.map(
      ({ code, text }) => `${code}: ${text}`,
    );
  await db.targetClient.query('analyze');
  expect(await found()).toEqual([]);
  const fill = () =>
    db.sourceClient.query(
      /* sql */ `select count(pg_logical_emit_message(true, 'filler', repeat('x', 8000000))) from generate_series(1, 3)`,
    );
  await db.sourceClient.query(`alter system set max_slot_wal_keep_size = '40MB'`);
  await db.sourceClient.query(`select pg_reload_conf()`);
  expect(
    await until('the limit', async () => ((await found()).length > 0 ? found() : null)),
  ).toEqual([expect.stringMatching(/^slot-shrinking: the source keeps \d+ MiB more for the slot/)]);
  for (let at = 0; at < 4; at += 1) await fill();
  expect(await found()).toEqual([
    'slot-shrinking: the source may remove WAL of the slot at its next checkpoint',
  ]);
  await db.sourceClient.query('checkpoint');
  expect(await found()).toEqual([expect.stringMatching(/^slot-lost: the source has removed WAL/)]);
});

test('how the fence will be made, what it leaves open, and the slot of the way back are measured', async () => {
  await using db = await freshPair();
  await using login = await loginOn(db, 'source');
  const migration = await startMigration(
    db,
    `create table t (id serial primary key); create function f() returns trigger language plpgsql as 'begin return new; end';
     create trigger own before insert on t for each row execute function f()`,
  );
  const input = { ...inputOf(db), fence: 'trigger' as const, switchback: '1h' };
  const facts = await assessReadiness(migration, input);
  expect(facts).toMatchObject({
    fence: { kind: 'trigger', open: [] },
    ...{ sequences: 1, wayBack: null },
  });
  await db.sourceClient.query(`grant select on t, t_id_seq to ${login.role}`);
  const limited = await assessReadiness({ ...migration, source: login.service }, input);
  expect(limited.fence?.open).toContain('the role may not create a schema in the database');
  expect(judge(limited, KNOWN, '').findings).toContainEqual(
    expect.objectContaining({ code: 'fence-open', level: 'blocks' }),
  );
  await db.sourceClient.query(`select lo_create(4711)`);
  expect((await assessReadiness(migration, input)).fence?.passes).toEqual([
    expect.stringMatching(/^large objects can be written/),
  ]);
  const { slot } = reverseOf(migration);
  await db.targetClient.query(`select pg_create_logical_replication_slot($1, 'wal2json')`, [slot]);
  expect((await assessReadiness(migration, input)).wayBack).toBe('reserved');
  await db.targetClient.query(`select pg_drop_replication_slot($1)`, [slot]);
});
