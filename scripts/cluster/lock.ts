/**
 * One command at a time on the servers of a checkout: two `cluster up` together would both make a data folder, choose
 * passwords and start a server, and each would overwrite what the other wrote down.
 *
 * The lock is a chain of numbered files, and the one with the highest number says who holds it: a process (see process.ts)
 * or nobody. It is never removed, only followed by the next number, which one process alone can make. So a lock whose
 * holder died is taken over without ever removing a file that by now is somebody else's.
 */
import { linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, processOf, readRecord, recordedProcess, writeRecord } from './process.ts';

const POLL_MILLISECONDS = 50;
/** The longest that a holder works: servers that recover, each with its time to answer. */
const WAIT_SECONDS = 240;

/**
 * Runs `body` while no other process runs one under the same lock. Not for use inside of itself.
 * @param folder of the lock's files, its own; made when missing.
 * @throws Error naming the process that holds the lock for more than four minutes.
 */
export async function locked<T>(folder: string, body: () => Promise<T> | T): Promise<T> {
  const file = await acquire(folder);
  try {
    return await body();
  } finally {
    writeRecord(file, {});
  }
}

/** @returns the file that says that this process holds the lock. */
async function acquire(folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const self = processOf(process.pid);
  if (!self) throw new Error('the operating system does not tell about this process');
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const newest = newestOf(folder);
    const holder = recordedProcess(readRecord(fileOf(folder, newest)));
    if (!holder || !isAlive(holder)) {
      const file = fileOf(folder, newest + 1);
      if (make(file, self)) {
        // Between our look and our file others may have come and gone, and taken the number away behind them.
        if (newestOf(folder) === newest + 1) {
          removeOlder(folder, newest + 1);
          return file;
        }
        rmSync(file, { force: true });
      }
    } else if (Date.now() > deadline) {
      throw new Error(
        `process ${holder.pid} works on the servers of this checkout since more than ${WAIT_SECONDS} s; wait for it or end it`,
      );
    }
    await sleep(POLL_MILLISECONDS);
  }
}

/** Makes the file with its content at once; false when it is there. */
function make(file: string, content: object): boolean {
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
