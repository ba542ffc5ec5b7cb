/** `walferry cleanup` against real servers, without a Temporal server; for one with it see tests/e2e/demo-operator.test.ts. */
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import path from 'node:path';
import { expect, test } from 'vitest';
import { slotName } from '../../../contract/slot-name.ts';
import { registerMigration } from '../../../postgres/store/migration.ts';
import { readIdentity } from '../../../postgres/identity/identity.ts';
import { freshPair } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../scripts/program.ts');

async function cleanup(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  // Nothing listens on port 1: the Temporal server is unreachable.
  const env = { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1' };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', PROGRAM, 'cleanup', ...words],
      { env },
      (error, out, err) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
      },
    );
  });
}

/** What a terminated migration leaves behind. */
async function leave(pair: FreshPair, workflowId: string): Promise<string> {
  const id = randomUUID();
  const slot = slotName(workflowId, id);
  const { sourceClient, targetClient, source, target } = pair;
  await sourceClient.query(`select pg_create_logical_replication_slot($1, 'wal2json')`, [slot]);
  await createStore(targetClient, target);
  await registerMigration(targetClient, {
    migration: { id, workflowId, source, target, slot },
    source: await readIdentity(sourceClient, source),
    sourceDatabase: source,
    tablesCreated: true,
    archive: null,
  });
  return slot;
}

async function slots(pair: FreshPair): Promise<string[]> {
  const { rows } = await pair.sourceClient.query<{ slot_name: string }>(
    'select slot_name from pg_replication_slots where database = current_database() order by 1',
  );
  return rows.map((row) => row.slot_name);
}

async function hasControl(pair: FreshPair): Promise<boolean> {
  const { rowCount } = await pair.targetClient.query(
    `select from pg_namespace where nspname = 'walferry'`,
  );
  return rowCount === 1;
}

const workflow = (name: string) => `${name}-${randomBytes(4).toString('hex')}`;

test('it lists slots with the WAL they keep and the control schema, and changes nothing', async () => {
  await using pair = await freshPair();
  const empty = await cleanup(pair.source, pair.target);
  expect(empty).toMatchObject({
    code: 0,
    out: expect.stringContaining('nothing is left') as string,
  });
  const id = workflow('orders');
  const slot = await leave(pair, id);
  const outcome = await cleanup(pair.source, pair.target);
  expect(outcome.code, outcome.err).toBe(0);
  expect(outcome.out).toMatch(
    new RegExp(`slot on .*: ${slot}, keeps .* of WAL, not in use, workflow ${id}`),
  );
  expect(outcome.out).toContain(`workflow ${id}, begun `);
  expect(await slots(pair)).toEqual([slot]);
  expect(await hasControl(pair)).toBe(true);
});

test('it refuses while the Temporal server is unreachable, and removes slot and control schema with --force', async () => {
  await using pair = await freshPair();
  const id = workflow('orders');
  const slot = await leave(pair, id);
  const refused = await cleanup(pair.source, pair.target, '--workflow-id', id);
  expect(refused.code).toBe(1);
  expect(refused.err).toContain('no Temporal server answers at 127.0.0.1:1');
  expect(refused.err).toContain('--force');
  expect(await slots(pair)).toEqual([slot]);
  const done = await cleanup(pair.source, pair.target, '--workflow-id', id, '--force');
  expect(done.code, done.err).toBe(0);
  expect(done.out).toContain(`dropped slot ${slot}`);
  expect(await slots(pair)).toEqual([]);
  expect(await hasControl(pair)).toBe(false);
  const again = await cleanup(pair.source, pair.target, '--workflow-id', id, '--force');
  expect(again.code, again.err).toBe(0);
  expect(again.out).toContain('left nothing');
});

test('it does not touch the slot of another workflow id, a foreign slot, or one with a similar name', async () => {
  await using pair = await freshPair();
  const id = workflow('orders');
  const slot = await leave(pair, id);
  const other = slotName(`${id}x`, randomUUID());
  await pair.sourceClient.query(
    `select pg_create_logical_replication_slot($1, 'wal2json'),
            pg_create_logical_replication_slot($2, 'wal2json')`,
    [other, `own_${id.replace('-', '_')}`],
  );
  // It reads like the id in a slot's name; its control row says who owns the slot.
  const similar = id.replace('-', '_');
  const done = await cleanup(pair.source, pair.target, '--workflow-id', similar, '--force');
  expect(done.code, done.err).toBe(0);
  expect(done.out).toContain('left nothing');
  expect(await slots(pair)).toEqual([`own_${similar}`, other, slot].sort());
  expect(await hasControl(pair)).toBe(true);
});

test.each([
  ['a newer', 'insert into walferry.version (number) values (700)', 'has version 700'],
  ['an unnumbered', 'drop table walferry.version', 'has no version: a walferry before 0.1'],
])(
  'it refuses %s control schema by name, even with --force, and removes nothing',
  async (_kind, change, words) => {
    await using pair = await freshPair();
    const id = workflow('orders');
    const slot = await leave(pair, id);
    await pair.targetClient.query(change);
    const refused = await cleanup(pair.source, pair.target, '--workflow-id', id, '--force');
    expect(refused.code).toBe(2);
    expect(refused.err).toContain(words);
    expect(refused.err).toContain(pair.target);
    expect(await slots(pair)).toEqual([slot]);
    expect(await hasControl(pair)).toBe(true);
  },
);

test('mistakes end with code 2 and one clear message', async () => {
  await using pair = await freshPair();
  const outcome = await cleanup(pair.source, 'no_such_service');
  expect(outcome.code).toBe(2);
  expect(outcome.err).toContain('no_such_service');
  expect((await cleanup(pair.source)).code).toBe(2);
  expect((await cleanup('--help')).out).toContain('Exit codes');
});
