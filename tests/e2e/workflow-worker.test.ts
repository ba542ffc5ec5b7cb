/** The worker process as a supervisor sees it: what it prints, and how it ends. */
import { expect, test } from 'vitest';
import { freePort } from '../../scripts/cluster/port.ts';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { startWorker } from '../support/worker.ts';

test('a worker says where it polls, stops in order on SIGTERM, and ends with 0', async () => {
  await using worker = await startWorker();
  expect(worker.log()).toContain(
    `worker ready: polls task queue walferry of namespace default at ${temporalServer().address}`,
  );
  expect(await worker.shutDown()).toEqual({ code: 0, signal: null });
  expect(worker.log()).toContain('worker stopped');
});

test('without a Temporal server it names the address and what to do, and keeps trying', async () => {
  const port = await freePort();
  await using worker = await startWorker({
    env: { TEMPORAL_ADDRESS: `127.0.0.1:${port}` },
    waitUntilReady: false,
  });
  const text = `the Temporal server at 127.0.0.1:${port} does not answer; start it or set TEMPORAL_ADDRESS`;
  await until('two attempts', () => worker.log().split(text).length > 2);
  expect(worker.isAlive()).toBe(true);
  expect(worker.log()).not.toMatch(/\bready\b/);
});

test('--help explains every option, and a wrong one ends with 2', async () => {
  await using help = await startWorker({ args: ['--help'], waitUntilReady: false });
  await until('the end', () => !help.isAlive());
  for (const words of ['--task-queue', '--max-activities', '--log-format', 'TEMPORAL_ADDRESS']) {
    expect(help.log()).toContain(words);
  }
  await using wrong = await startWorker({
    args: ['--max-activities', 'many'],
    waitUntilReady: false,
  });
  await until('the end', () => !wrong.isAlive());
  const { code } = await wrong.shutDown();
  expect(code).toBe(2);
  expect(wrong.log()).toContain('must be a whole number above 0');
});
