/** The way back under kills and freezes, and between major versions: what the stream guarantees holds in this direction, too. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import type { Migration } from '../../../contract/migration.ts';
import { dropReverseSlot } from '../../../postgres/switchback/reverse-end.ts';
import { planReverse } from '../../../postgres/switchback/reverse-plan.ts';
import { openWayBack } from '../../../postgres/switchback/reverse-slot.ts';
import { startReverse } from '../../../postgres/switchback/reverse-start.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { Load, LOAD_TABLES, random } from '../../support/load.ts';
import { drainBack, expectAlike, release } from '../../support/reverse-round.ts';
import { streamProcess } from '../../support/stream-child.ts';
import { drain, EVERYTHING, startMigration, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';
import { failure } from '../schema/schema-fidelity.ts';

const TABLES = { ...EVERYTHING, viaPartitionRoot: [] };

/** Everything is selected, the signal of the release too: it goes back as the first change of the application. */
async function released(db: FreshPair, ddl: string): Promise<Migration> {
  const migration = await startMigration(db, ddl + ';create table opened (open bool primary key)');
  await openWayBack(migration, testWork());
  await drain(db, migration);
  await planReverse(migration, { tables: TABLES }, testWork());
  const at = await release(db, migration);
  await startReverse(migration, at, testWork());
  return migration;
}

async function back(db: FreshPair, migration: Migration): Promise<void> {
  await drainBack(db, migration, TABLES);
}

/** Sequences are not in the stream; a switch sets them. */
async function copySequences(db: FreshPair): Promise<void> {
  const { rows } = await db.targetClient.query<{ name: string; last: string }>(
    /* sql */ `select format('%I.%I', schemaname, sequencename) as name, coalesce(last_value, 1)::text as last from pg_sequences`,
  );
  for (const { name, last } of rows) {
    await db.sourceClient.query(/* sql */ `select setval($1::regclass, $2)`, [name, last]);
  }
}

const POINTS = ['before-target-commit', 'commit-sent', 'after-target-commit-before-confirm'];

test(
  'a way back that is killed at its commits and at random points loses no commit of the application and applies none twice',
  { timeout: 240_000 },
  async () => {
    await using db = await freshPair();
    const migration = await released(db, LOAD_TABLES);
    await copySequences({ ...db, sourceClient: db.targetClient, targetClient: db.sourceClient });
    const load = new Load(() => connectTo(db.target), 3);
    const rnd = random(load.seed);
    for (const point of [...POINTS, null, null]) {
      const child = streamProcess(
        migration,
        point === null ? {} : { WALFERRY_FAILPOINT: point },
        'back',
      );
      if (point === null) {
        await until('the lease', () => child.lines.includes('started'));
        await sleep(rnd() * 500);
        child.process.kill('SIGKILL');
      }
      await child.ended;
      expect(child.process.signalCode).toBe('SIGKILL');
    }
    await load.stop();
    expect(load.committed).toBeGreaterThan(0);
    await back(db, migration);
    await copySequences(db);
    await expectAlike(db);
    await dropReverseSlot(migration);
  },
);

test('a frozen lease of the way back that wakes up after it was overtaken writes nothing', async () => {
  await using db = await freshPair();
  const migration = await released(db, /* sql */ `create table t (id int primary key)`);
  const child = streamProcess(migration, {}, 'back');
  await until('the lease', () => child.lines.includes('started'));
  child.process.kill('SIGSTOP');
  await db.targetClient.query(/* sql */ `insert into t select generate_series(1, 100)`);
  await back(db, migration);
  child.process.kill('SIGCONT');
  await child.ended;
  expect(['Fenced', 'Unreachable']).toContain(child.lines.at(-1));
  await expectAlike(db);
  await dropReverseSlot(migration);
});

const on17 = findOther(17);

test.skipIf(!on17)(
  'from PostgreSQL 17 back to an older one: rows return, and a value that only 17 has stops the way back and is named',
  { timeout: 240_000 },
  async () => {
    if (!on17) return;
    await using server = await serverOf('target', on17);
    await using db = await freshPair({ target: server });
    const migration = await released(
      db,
      /* sql */ `create table t (id int primary key, span interval, n numeric, j jsonb, at timestamptz default now());
        insert into t values (1, '1 day', 'NaN', '{"a": 1.10}')`,
    );
    await db.targetClient.query(/* sql */ `
      insert into t values (2, '-178000000 years', 'Infinity', '[1]'), (3, null, null, null);
      update t set n = n + 1 where id = 1; delete from t where id = 3`);
    await back(db, migration);
    await expectAlike(db);
    await db.targetClient.query(/* sql */ `insert into t (id, span) values (4, 'infinity')`);
    const stopped = await failure(back(db, migration), 'ChangeFailed');
    expect(stopped).toBeInstanceOf(MigrationError);
    expect(stopped.details.table).toBe('public.t');
    expect(stopped.message).toMatch(/^way back from /);
    // The application is not affected, and takes the value back.
    await db.targetClient.query(/* sql */ `update t set span = null where id = 4`);
    await dropReverseSlot(migration);
  },
);
