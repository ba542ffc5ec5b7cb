/**
 * The lock file `postmaster.pid` of a PostgreSQL data folder: whose it is, whether its server is ready, and taking it away
 * when it is a leftover. PostgreSQL itself takes a leftover for real as soon as its number belongs to any other process of
 * the same user, which after a reboot is likely.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processOf } from './process.ts';
import type { StartedProcess } from './process.ts';

const STATUS_LINE = 7;

/** True when the server with this process id says that it takes connections. */
export function readyLine(dataFolder: string, pid: number): boolean {
  const lines = lockLines(dataFolder);
  return Number(lines?.[0]) === pid && lines?.[STATUS_LINE]?.trim() === 'ready';
}

/** The living server that runs on this data folder, if any. */
export function ownerOfData(dataFolder: string): StartedProcess | undefined {
  const pid = Number(lockLines(dataFolder)?.[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const running = processOf(pid);
  // The number may have gone to somebody else; a server of ours carries its data folder in its arguments.
  return running && argumentsOf(pid).includes(dataFolder) ? running : undefined;
}

/** How long a parent may take to notice that its server ended. */
const REAPED_MS = 5_000;
const POLL_MS = 20;

/** Removes the lock file when its process is not a server on this data folder. */
export async function clearStaleLock(dataFolder: string): Promise<void> {
  const pid = Number(lockLines(dataFolder)?.[0]);
  if (!Number.isInteger(pid) || pid <= 0 || ownerOfData(dataFolder)) return;
  // A killed server keeps its number until its parent has asked how it ended, and PostgreSQL takes that for a living one.
  const deadline = Date.now() + REAPED_MS;
  while (isTaken(pid) && !processOf(pid) && Date.now() < deadline) await sleep(POLL_MS);
  // With the number free PostgreSQL clears the file itself, and checks for leftover children on the way.
  if (isTaken(pid)) rmSync(path.join(dataFolder, 'postmaster.pid'), { force: true });
}

/** Whether the number stands in the process table, also for a process that has ended. */
function isTaken(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function lockLines(dataFolder: string): string[] | undefined {
  try {
    return readFileSync(path.join(dataFolder, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
}

function argumentsOf(pid: number): string {
  try {
    // Minimal Linux images have no ps.
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}
