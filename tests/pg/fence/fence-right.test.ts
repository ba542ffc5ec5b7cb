/** What each kind of fence needs and leaves open, as preflight says it on real servers; and the smallest role that makes a trigger fence. */
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { connectSource } from '../../../postgres/session/open.ts';
import { recordedWork } from '../../support/control.ts';
import { freshPair, sourceServer } from '../../support/database.ts';
import { findingsOf, loginOn, only } from '../../support/preflight.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';
import { fenced, REFUSED, stateOf } from './fenced.ts';

const SCHEMA = /* sql */ `
  create table a (id int primary key, v int default 0);
  create table b (id int primary key);
  insert into a select g, 0 from generate_series(1, 20) g`;

const ABOUT_FENCES = new Set(['fence-right', 'fence-subscription', 'fence-passes']);

/** The findings about the fence, by code. */
async function fenceFindings(
  db: Awaited<ReturnType<typeof freshPair>>,
  input: Record<string, unknown>,
  source = db.source,
) {
  const given = { source, input: { schema: { owners: false, grants: false }, ...input } };
  return (await findingsOf(db, given)).filter(({ code }) => ABOUT_FENCES.has(code));
}

const VARIABLES = ['WALFERRY_FENCE_CLOSE', 'WALFERRY_FENCE_OPEN'] as const;
afterEach(() => {
  for (const name of VARIABLES) delete process.env[name];
});

test('preflight says what the rights allow for each kind of fence, and what each leaves open', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  await using login = await loginOn(db, 'source', 'replication');
  const { role, service } = login;
  await db.sourceClient.query(`grant select on a, b to ${role}; grant pg_monitor to ${role}`);
  const plain = (input: Record<string, unknown>) => fenceFindings(db, input, service);

  // "none" is what the operator has asked for.
  expect(await fenceFindings(db, { fence: 'none' })).toEqual([]);
  const without = only(await plain({ fence: 'trigger' }), 'fence-right');
  expect(without.level).toBe('error');
  expect(without.message).toMatch(
    /may not create a schema in the database.*may not create triggers on public\.a, public\.b \(right TRIGGER\)/,
  );
  await db.sourceClient.query(
    `grant create on database ${db.source} to ${role}; grant trigger on a, b to ${role}`,
  );
  const [passes, ...others] = await plain({ fence: 'trigger' });
  expect(others).toEqual([]);
  expect(passes).toMatchObject({ code: 'fence-passes', level: 'warning' });
  expect(passes?.message).toContain('sessions in replica role write to tables');

  const roles = only(await fenceFindings(db, { fence: 'roles' }), 'fence-passes');
  expect(roles.message).toContain('the rights stay revoked until a worker grants them back');
  await db.sourceClient.query(
    `grant update on a to pg_monitor with grant option; grant update on b to pg_monitor`,
  );
  // Granted by the owner, for whom this role may not act.
  const lost = only(await plain({ fence: 'roles' }), 'fence-right');
  expect(lost.message).toContain('could not grant back exactly');

  const unset = only(await fenceFindings(db, { fence: 'command' }), 'fence-right');
  expect(unset.message).toContain('WALFERRY_FENCE_CLOSE on the worker is not set');
  const program = path.join(mkdtempSync(path.join(tmpdir(), 'fence-right-')), 'program');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  for (const name of VARIABLES) process.env[name] = program;
  const command = only(await fenceFindings(db, { fence: 'command' }), 'fence-passes');
  expect(command.message).toContain('what the command has closed stays closed');

  const extras = { readOnlyDefault: true, connect: true, connectionLimit: true };
  const input = { fence: 'trigger', fenceExtras: extras };
  const denied = only(await plain(input), 'fence-right');
  expect(denied.message).toMatch(/does not own the database.*connection limit counts/);
  const stays = only(await fenceFindings(db, input), 'fence-passes');
  expect(stays.message).toContain('does not come back by itself');
});

test('a role that has only TRIGGER on the tables, and a schema of its own, stops owners and superusers, proves it, and removes its fence', async () => {
  await using f = await fenced(SCHEMA);
  await using login = await loginOn(f.db, 'source');
  const { role, service } = login;
  const admin = await f.app();
  await admin.query(
    `grant pg_monitor to ${role}; grant create on database ${f.db.source} to ${role}; grant trigger on a, b to ${role}`,
  );
  const migration = { ...f.migration, source: service };
  await using source = await connectSource(migration, 'cutover');
  const work = recordedWork();
  const { fence, input } = f;
  expect(await fence.install(source, migration, input, work)).toEqual({
    ...{ tables: 2, waiting: [], also: [], always: false },
  });
  const writer = await f.app();
  await writer.query(/* sql */ `begin; update a set v = 1 where id = 1`);
  const cutover = randomUUID();
  await fence.arm(source, migration, { cutover, milliseconds: 60_000 });
  const owner = await f.app();
  expect(await stateOf(owner, /* sql */ `insert into a values (100)`)).toBe(REFUSED);
  const proof = fence.prove(source, migration, work, { withinMs: 60_000, endSessions: false });
  await until('the proof to wait', () => work.beats.some(({ writers }) => writers === 1));
  await writer.query('commit');
  expect(await proof).toMatchObject({ holders: 1 });
  expect(await fence.seal(source, migration, cutover)).toBe(true);
  expect(await stateOf(writer, /* sql */ `delete from b`)).toBe(REFUSED);
  // A session in replica role passes: only an owner may say ENABLE ALWAYS, and preflight warns.
  expect(
    await stateOf(
      owner,
      /* sql */ `set session_replication_role = replica; insert into b values (1)`,
    ),
  ).toBe('done');
  await fence.open(source, migration, cutover);
  expect(await stateOf(writer, /* sql */ `insert into b values (2)`)).toBe('done');
  // It may not drop a trigger of a table, but its own function with all of them.
  expect(await fence.remove(source, migration, work)).toEqual({ left: [] });
});

test('autovacuum cleans a fenced table while the writes are stopped, and no proof waits for it', async () => {
  const { spec } = sourceServer();
  await using server = await serverOf(
    'source',
    { ...spec, folder: spec.programs, version: 'autovacuum' },
    { autovacuum: 'on', autovacuum_naptime: '1s' },
  );
  const table = /* sql */ `
    create table a (id int primary key, v int) with (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
      autovacuum_vacuum_cost_delay = 20, autovacuum_vacuum_cost_limit = 1);
    insert into a select g, 0 from generate_series(1, 20000) g`;
  await using f = await fenced(table, {}, 'trigger', { source: server });
  await f.arm();
  const app = await f.app();
  // Only now, by a session that passes: the installation would wait for autovacuum, too.
  await f.source.query(/* sql */ `delete from public.a where id % 2 = 0`);
  await until('autovacuum to hold the table', async () => {
    const { rowCount } = await f.source.query(/* sql */ `
      select from pg_locks l join pg_stat_activity s using (pid)
       where s.backend_type = 'autovacuum worker' and l.relation = 'public.a'::regclass and l.mode = 'ShareUpdateExclusiveLock' and l.granted`);
    return (rowCount ?? 0) > 0;
  });
  expect(await f.prove({ withinMs: 5_000 })).toMatchObject({ holders: 0 });
  expect(await stateOf(app, /* sql */ `delete from a`)).toBe(REFUSED);
});
