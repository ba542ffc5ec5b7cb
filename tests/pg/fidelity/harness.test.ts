/** The harness itself: if a pair were not empty, or not dropped, no other test would prove anything. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { freshPair, sourceServer, targetServer } from '../../support/database.ts';

test('a fresh pair is empty, reachable by service name from psql, and gone afterwards', async () => {
  let names: string[];
  {
    await using db = await freshPair();
    names = [db.source, db.target];
    await db.sourceClient.query(/* sql */ `create table one (id int primary key)`);
    for (const service of names) {
      const answer = execFileSync('psql', [`service=${service}`, '-Atc', 'show data_directory']);
      const server = service === db.source ? sourceServer() : targetServer();
      expect(answer.toString().trim()).toBe(server.dataFolder);
    }
    await db.sourceClient.query(
      /* sql */ `select pg_create_logical_replication_slot('left_by_a_test', 'wal2json')`,
    );
    await db.sourceClient.query(
      /* sql */ `begin; insert into one values (1); prepare transaction 'left'`,
    );
  }
  for (const server of [sourceServer(), targetServer()]) {
    const left = await server.query('postgres', (client) =>
      client.query(/* sql */ `select 1 from pg_database where datname = any($1)`, [names]),
    );
    expect(left.rowCount).toBe(0);
  }
});

test('the servers ask for a password', async () => {
  await using db = await freshPair();
  const attempt = () =>
    execFileSync('psql', [`service=${db.source}`, '-w', '-Atc', 'select 1'], {
      env: { ...process.env, PGPASSFILE: '/nonexistent' },
      stdio: 'pipe',
    });
  expect(attempt).toThrow(/no password supplied/);
});
