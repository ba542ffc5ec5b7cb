/** The harness of the end-to-end tests: servers that can be killed come back as they were. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { sourceServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { testRun } from '../support/run.ts';
import { control } from '../support/streaming.ts';
import { connectTemporal, restartTemporal, temporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { startProcess, startWorker } from '../support/worker.ts';

test('a killed Temporal server comes back on its port with its workflows', async () => {
  const id = `harness-${Date.now()}`;
  const start = await temporal(
    ...['workflow', 'start', '--type', 'none', '--task-queue', 'none', '--workflow-id', id],
  );
  expect(start).toMatchObject({ code: 0 });
  await restartTemporal();
  await using client = await connectTemporal();
  const found = await until('the workflow to be found again', () =>
    client.workflow.getHandle(id).describe(),
  );
  expect(found.status.name).toBe('RUNNING');
  await client.workflow.getHandle(id).terminate();
  const missing = await temporal('workflow', 'describe', '-w', 'no-such-workflow');
  expect(missing.code).not.toBe(0);
});

test('a killed source comes back on its port and still asks for its password', async () => {
  const server = sourceServer();
  const port = server.port;
  await server.kill();
  expect(await server.isUp()).toBe(false);
  expect(await server.start()).toBe(port);
  const level = await server.query('postgres', (client) =>
    client.query<{ wal_level: string }>(/* sql */ `show wal_level`),
  );
  expect(level.rows).toEqual([{ wal_level: 'logical' }]);
});

test('a process can be frozen, thawed and killed by its own id', async () => {
  const folder = mkdtempSync(path.join(testRun().folder, 'ticker-'));
  const file = path.join(folder, 'ticker.ts');
  writeFileSync(file, `console.log('ready'); setInterval(() => console.log('tick'), 10);`);
  await using ticker = await startProcess(file, { ready: /ready/ });
  const state = () =>
    new Promise<string>((resolve) => {
      execFile('cat', [`/proc/${ticker.pid}/stat`], (_, text) => resolve(text.split(' ')[2] ?? ''));
    });
  ticker.freeze();
  await until('the process to be frozen', async () => (await state()) === 'T');
  const frozenAt = ticker.log().length;
  ticker.thaw();
  await until('the process to continue', () => ticker.log().length > frozenAt);
  await ticker.kill();
  expect(ticker.isAlive()).toBe(false);
  rmSync(folder, { recursive: true });
});

test('a worker reports when it is ready, ends in an orderly way at SIGTERM, and at once at SIGKILL', async () => {
  await using polite = await startWorker({ name: 'polite' });
  expect(await polite.shutDown()).toEqual({ code: 0, signal: null });
  await using killed = await startWorker({ name: 'killed' });
  await killed.kill();
  expect(killed.isAlive()).toBe(false);
});

test('a migration that preflight refuses ends every wait of its test at once, with the findings', async () => {
  await using lab = await Lab.open('create table t (id int)');
  await lab.worker();
  await lab.start();
  const waits = [
    lab.phase('stream', 60),
    lab.waiting(60),
    until('a control row', () => control(lab), { seconds: 60 }),
  ];
  const began = performance.now();
  for (const wait of waits) wait.catch(() => undefined);
  for (const wait of waits) await expect(wait).rejects.toThrow('[replica-identity]');
  expect(performance.now() - began).toBeLessThan(50_000);
  // A test that asks for the end gets it.
  expect(await lab.ending()).toMatchObject({ status: 'FAILED' });
  expect((await lab.progress()).phase).toBe('failed');
});
