/** Nothing that we did not start is ended, and nothing that we started is forgotten. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { serverAccount } from '../../scripts/local/cluster/account.ts';
import { localCluster } from '../../scripts/local/cluster/local.ts';
import { processOf, writeRecord } from '../../scripts/local/cluster/process.ts';
import type { StartedProcess } from '../../scripts/local/cluster/process.ts';
import { FOLDER_PREFIX, endLeftovers } from '../support/leftovers.ts';
import { until } from '../support/until.ts';
import { isRoot } from './fresh-copy.ts';

test('a later test run ends the processes of one that was killed, and only those', async () => {
  const owner = sleeper();
  const left = sleeper();
  const bystander = sleeper();
  const alive = makeRun(processFor(process.pid), [processFor(bystander.pid)]);
  const dead = makeRun(processFor(owner.pid), [
    processFor(left.pid),
    // A process id of that run that another process now has.
    { pid: bystander.pid ?? 0, startedAt: 'before the reboot' },
  ]);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  try {
    await endLeftovers();
    await until('the left process to be ended', () => left.signalCode);
    expect(left.signalCode).toBe('SIGKILL');
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(alive)).toBe(true);
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
  } finally {
    bystander.kill('SIGKILL');
    left.kill('SIGKILL');
    rmSync(alive, { recursive: true, force: true });
    rmSync(dead, { recursive: true, force: true });
  }
});

test.skipIf(!isRoot)(
  'below a folder that user postgres cannot enter, the data goes to a folder that postgres can enter',
  async () => {
    const closed = mkdtempSync(path.join(tmpdir(), 'walferry closed '));
    chmodSync(closed, 0o700);
    const cluster = await localCluster(undefined, path.join(closed, '.local'));
    try {
      expect(cluster.places.data).toMatch(/^\/var\/tmp\/walferry-[0-9a-f]{12}$/);
      // The same again for the same folder: a second call finds the same servers.
      expect((await localCluster(undefined, path.join(closed, '.local'))).places).toEqual(
        cluster.places,
      );
      await cluster.source.start();
      expect(await cluster.source.isUp()).toBe(true);
      expect(processFor(cluster.source.process?.pid).pid).toBeGreaterThan(0);
      expect(serverAccount().uid).not.toBe(0);
    } finally {
      await cluster.wipe();
      rmSync(cluster.places.data, { recursive: true, force: true });
      rmSync(closed, { recursive: true, force: true });
    }
  },
);

function sleeper(): ChildProcess {
  return spawn('sleep', ['300'], { stdio: 'ignore' });
}

function processFor(pid: number | undefined): StartedProcess {
  const found = processOf(pid ?? 0);
  if (!found) throw new Error(`no process ${pid}`);
  return found;
}

function makeRun(owner: StartedProcess, processes: readonly StartedProcess[]): string {
  const folder = mkdtempSync(path.join(tmpdir(), `${FOLDER_PREFIX}made-by-a-test-`));
  mkdirSync(path.join(folder, 'processes'));
  writeRecord(path.join(folder, 'run.json'), owner);
  processes.forEach((started, index) =>
    writeRecord(path.join(folder, 'processes', `${index}.json`), started),
  );
  return folder;
}
