/** What a worker, a database or Temporal can meet at a fail point, and how a test carries it out. */
import { readFileSync } from 'node:fs';
import { sourceServer, targetServer } from './database.ts';
import type { Lab } from './lab.ts';
import { restartTemporal } from './temporal.ts';
import type { WorkerProcess } from './worker.ts';

export const FAULTS = ['kill', 'freeze', 'source', 'target', 'temporal'] as const;
export type Fault = (typeof FAULTS)[number];

/** Killed by itself, or stopped. */
export function hasStopped(worker: WorkerProcess): boolean {
  if (!worker.isAlive()) return true;
  const state = /\) (\w)/.exec(readFileSync(`/proc/${worker.pid}/stat`, 'utf8'))?.[1];
  return state === 'T';
}

/**
 * Lets the fault happen while the worker stands at its fail point: another worker takes over, or a server is killed and started
 * again and the worker continues.
 */
export async function meet(fault: Fault, worker: WorkerProcess, lab: Lab): Promise<void> {
  if (fault === 'kill' || fault === 'freeze') {
    await lab.worker();
    return;
  }
  if (fault === 'temporal') await restartTemporal();
  else {
    const server = fault === 'source' ? sourceServer() : targetServer();
    await server.kill();
    await server.start();
  }
  worker.thaw();
}
