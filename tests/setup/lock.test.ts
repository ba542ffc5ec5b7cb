/** The lock of the local servers: one owner at a time, and never a dead one. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { locked } from '../../scripts/local/cluster/lock.ts';
import { until } from '../support/until.ts';

const LOCK = path.resolve(import.meta.dirname, '../../scripts/local/cluster/lock.ts');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'walferry-lock-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * A process that runs these lines after it has imported `locked`, with a folder and a separate file name.
 */
function run(lines: string, ...words: string[]): ChildProcess {
  const script = `import { readFileSync, writeFileSync } from 'node:fs';
    import { setImmediate } from 'node:timers/promises';
    const { locked } = await import(${JSON.stringify(LOCK)});
    const [folder, file] = process.argv.slice(-2);
    ${lines}`;
  return spawn(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', script, '--', ...words],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
}

test('processes that work under the lock do so one after another', async () => {
  const counter = path.join(folder, 'counter');
  writeFileSync(counter, '0');
  // Reading and writing are separate: two at once would count one step for two.
  const lines = `for (let i = 0; i < 10; i++) await locked(folder, async () => {
    const seen = Number(readFileSync(file, 'utf8'));
    await setImmediate();
    writeFileSync(file, String(seen + 1));
  });`;
  const processes = Array.from({ length: 4 }, () =>
    run(lines, path.join(folder, 'shared'), counter),
  );
  const codes = await Promise.all(
    processes.map(async (one) => (await once(one, 'exit')) as unknown),
  );
  expect(codes).toEqual(processes.map(() => [0, null]));
  expect(readFileSync(counter, 'utf8')).toBe('40');
});

test('the lock is free at once when its owner was killed, and when its body failed', async () => {
  const lock = path.join(folder, 'killed');
  const owner = run(
    `await locked(folder, async () => { console.log('held'); await new Promise((r) => setTimeout(r, 600000)); });`,
    lock,
    '-',
  );
  let said = '';
  owner.stdout?.on('data', (data: Buffer) => (said += data.toString()));
  await until('the lock to be held', () => said.includes('held'));
  let entered = false;
  const next = locked(lock, () => (entered = true));
  expect(entered).toBe(false);
  owner.kill('SIGKILL');
  await next;
  expect(entered).toBe(true);
  await expect(locked(lock, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(await locked(lock, () => 'free')).toBe('free');
});
