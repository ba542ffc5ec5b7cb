/**
 * The lock file `postmaster.pid` of a PostgreSQL data folder: whose it is, whether its server is ready, and taking it away
 * when it is a leftover. PostgreSQL itself takes a leftover for real as soon as its number belongs to any other process of
 * the same user, which after a reboot is likely.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
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

/** Removes the lock file when its process is not a server on this data folder. */
export function clearStaleLock(dataFolder: string): void {
  if (lockLines(dataFolder) && !ownerOfData(dataFolder)) {
    const pid = Number(lockLines(dataFolder)?.[0]);
    // With the number free PostgreSQL clears the file itself, and checks for leftover children on the way.
    if (processOf(pid)) rmSync(path.join(dataFolder, 'postmaster.pid'), { force: true });
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
