/**
 * The lock file `postmaster.pid` of a PostgreSQL data folder: which process it names, whether its server is ready, and
 * the removal of a stale one. PostgreSQL itself accepts a stale file as soon as its number belongs to any other process
 * of the same user, which is likely after a reboot.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processOf } from './process.ts';
import type { StartedProcess } from './process.ts';

const STATUS_LINE = 7;

/** True when the server with this process id reports that it accepts connections. */
export function readyLine(dataFolder: string, pid: number): boolean {
  const lines = lockLines(dataFolder);
  return Number(lines?.[0]) === pid && lines?.[STATUS_LINE]?.trim() === 'ready';
}

/** The running server of this data folder, if any. */
export function ownerOfData(dataFolder: string): StartedProcess | undefined {
  const pid = Number(lockLines(dataFolder)?.[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const running = processOf(pid);
  // The number may have been reused; a server of ours has its data folder in its arguments.
  return running && argumentsOf(pid).includes(dataFolder) ? running : undefined;
}

/** How long a parent may take to notice that its server ended. */
const REAPED_MS = 5_000;
const POLL_MS = 20;

/** Removes the lock file when its process is not a server of this data folder. */
export async function clearStaleLock(dataFolder: string): Promise<void> {
  const pid = Number(lockLines(dataFolder)?.[0]);
  if (!Number.isInteger(pid) || pid <= 0 || ownerOfData(dataFolder)) return;
  // A killed server keeps its number until its parent has reaped it, and PostgreSQL takes that for a running one.
  const deadline = Date.now() + REAPED_MS;
  while (isTaken(pid) && !processOf(pid) && Date.now() < deadline) await sleep(POLL_MS);
  // Once the number is free PostgreSQL clears the file itself, and checks for leftover children first.
  if (isTaken(pid)) rmSync(path.join(dataFolder, 'postmaster.pid'), { force: true });
}

/** Whether the number is in the process table, also for a process that has ended. */
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
