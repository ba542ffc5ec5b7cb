/**
 * One command at a time on the local servers: two simultaneous `cluster up` would both create a data folder,
 * choose passwords and start a server, and each would overwrite the other's records.
 *
 * The lock is a chain of numbered files, and the one with the highest number names its owner: a process (see
 * process.ts) or none. It is never removed, only followed by the next number, which only one process can create. So the
 * lock of a dead process is taken over without removing a file that may belong to another process by then.
 */
import { linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, processOf, readRecord, recordedProcess, writeRecord } from './process.ts';

const POLL_MILLISECONDS = 50;
/** The longest time that an owner needs: servers that recover, each with its time to answer. */
const WAIT_SECONDS = 240;

/**
 * Runs `body` while no other process runs one under the same lock. Not for use inside of itself.
 * @param folder of the lock's files, its own; created when missing.
 * @throws Error naming the process that has held the lock for more than four minutes.
 */
export async function locked<T>(folder: string, body: () => Promise<T> | T): Promise<T> {
  const file = await acquire(folder);
  try {
    return await body();
  } finally {
    writeRecord(file, {});
  }
}

/** @returns the file that marks this process as the owner of the lock. */
async function acquire(folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const self = processOf(process.pid);
  if (!self) throw new Error('the operating system has no information about this process');
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const newest = newestOf(folder);
    const owner = recordedProcess(readRecord(fileOf(folder, newest)));
    if (!owner || !isAlive(owner)) {
      const file = fileOf(folder, newest + 1);
      if (create(file, self)) {
        // Since `newest` was read, others may have owned the lock, and the file with our number may have been removed.
        if (newestOf(folder) === newest + 1) {
          removeOlder(folder, newest + 1);
          return file;
        }
        rmSync(file, { force: true });
      }
    } else if (Date.now() > deadline) {
      throw new Error(
        `process ${owner.pid} has been using the local servers for more than ${WAIT_SECONDS} s; wait for it or end it`,
      );
    }
    await sleep(POLL_MILLISECONDS);
  }
}

/** Creates the file with its content atomically; false when it exists. */
function create(file: string, content: object): boolean {
  const fresh = `${file}.of-${process.pid}`;
  writeRecord(fresh, content);
  try {
    linkSync(fresh, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
}

function removeOlder(folder: string, number: number): void {
  for (const older of numbersIn(folder)) {
    if (older < number) rmSync(fileOf(folder, older), { force: true });
  }
}

/** 0 when there is none yet. */
function newestOf(folder: string): number {
  return Math.max(0, ...numbersIn(folder));
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function fileOf(folder: string, number: number): string {
  return path.join(folder, String(number));
}
