/** `scripts/walferry.mjs`: a signal to the process of a command reaches the command. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');

test('a command that is killed with SIGKILL is gone: no child process continues', async () => {
  // No server listens there: the worker keeps trying until it is killed.
  const worker = spawn(
    process.execPath,
    ['scripts/walferry.mjs', 'worker', '--log-format', 'json'],
    {
      cwd: ROOT,
      env: { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const closed = once(worker, 'close').then(() => 'closed');
  await once(worker.stdout, 'data');
  worker.kill('SIGKILL');
  // The pipe closes when every process that holds it has ended.
  const late = new Promise((resolve) => setTimeout(resolve, 10_000, 'still open').unref());
  expect(await Promise.race([closed, late])).toBe('closed');
}, 120_000);
