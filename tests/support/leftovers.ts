/**
 * What a test run leaves behind when it dies by SIGKILL: servers, worker processes and a folder. Every run keeps the
 * ids and start times of its processes in its folder, so that a later run can end exactly those.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  endProcess,
  isAlive,
  readRecord,
  recordedProcess,
} from '../../scripts/local/cluster/process.ts';

export const FOLDER_PREFIX = 'walferry-test-';
/** Linux keeps its files in memory. */
export const MEMORY_FOLDER = '/dev/shm';

/** Ends the processes of runs that no longer exist, and removes their folders. */
export async function endLeftovers(): Promise<void> {
  for (const parent of new Set([MEMORY_FOLDER, tmpdir(), '/tmp', '/var/tmp'])) {
    for (const name of existsSync(parent) ? readdirSync(parent) : []) {
      if (!name.startsWith(FOLDER_PREFIX)) continue;
      const folder = path.join(parent, name);
      const owner = recordedProcess(readRecord(path.join(folder, 'run.json')));
      // No record: the folder belongs to another user, or its owner has not written it yet.
      if (!owner || isAlive(owner)) continue;
      await endRecordedProcesses(folder);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    }
  }
}

/** Ends every process that is recorded below the folder of a run. */
export async function endRecordedProcesses(folder: string): Promise<void> {
  const workers = path.join(folder, 'processes');
  const records = [
    ...(existsSync(workers) ? readdirSync(workers) : []).map((name) => path.join(workers, name)),
    ...['source', 'target', 'temporal'].map((name) => path.join(folder, name, 'server.json')),
  ];
  for (const record of records) {
    const left = recordedProcess(readRecord(record));
    if (left) await endProcess(left, [['SIGKILL', 5_000]]);
  }
}
