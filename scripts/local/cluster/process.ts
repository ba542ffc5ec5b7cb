/**
 * Recognizing a process. A process id alone is not enough: after a crash or a reboot the same number may belong to
 * another process, and with a stale file we would adopt or kill that one. So every id is stored with its start time.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process and its start time as reported by the operating system. */
export interface StartedProcess {
  readonly pid: number;
  readonly startedAt: string;
}

const POLL_MILLISECONDS = 25;

/** The process now; undefined when there is none or it has ended and only waits to be reaped. */
export function processOf(pid: number): StartedProcess | undefined {
  const startedAt = process.platform === 'linux' ? linuxStart(pid) : psStart(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** True while exactly this process runs. */
export function isAlive(started: StartedProcess): boolean {
  return processOf(started.pid)?.startedAt === started.startedAt;
}

/** Waits until the process has ended; false when it still runs after the given time. */
export async function hasEnded(started: StartedProcess, milliseconds: number): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (isAlive(started)) {
    if (Date.now() > deadline) return false;
    await sleep(POLL_MILLISECONDS);
  }
  return true;
}

/** Sends the signals one after another, each with its time to work, until the process has ended. */
export async function endProcess(
  started: StartedProcess,
  steps: readonly (readonly [NodeJS.Signals, number])[],
): Promise<void> {
  for (const [signal, milliseconds] of steps) {
    signalProcess(started, signal);
    if (await hasEnded(started, milliseconds)) return;
  }
  throw new Error(`process ${started.pid} does not end`);
}

/** Sends a signal to exactly this process; does nothing when it is gone. */
export function signalProcess(started: StartedProcess, signal: NodeJS.Signals): void {
  if (!isAlive(started)) return;
  try {
    process.kill(started.pid, signal);
  } catch (error) {
    // It ended between the check and the signal.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Reads what {@link writeRecord} wrote; undefined when it is unreadable (a crash may have truncated it). */
export function readRecord(file: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a JSON file atomically; only its owner may read it. */
export function writeRecord(file: string, record: object): void {
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, JSON.stringify(record, null, 2) + '\n', { mode: 0o600 });
  renameSync(fresh, file);
}

/** The process that a record names, if it names one. */
export function recordedProcess(
  record: Record<string, unknown> | undefined,
): StartedProcess | undefined {
  const pid = record?.['pid'];
  const startedAt = record?.['startedAt'];
  return typeof pid === 'number' && typeof startedAt === 'string' ? { pid, startedAt } : undefined;
}

function linuxStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name is in parentheses and may itself contain spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    // A dead process whose parent never reaps it (often pid 1 of a container) stays in the table as a zombie. While it
    // still has other threads, those hold its ports and files, so it has not ended yet.
    const threads = Number(fields[17]);
    if ((state === 'Z' || state === 'X') && threads <= 1) return undefined;
    // Ticks since boot repeat after a reboot; together with the boot's id they do not.
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}:${fields[19] ?? ''}`;
  } catch {
    return undefined;
  }
}

function psStart(pid: number): string | undefined {
  try {
    const text = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    return text === '' || text.startsWith('Z') ? undefined : text.replace(/^\S+\s+/, '');
  } catch {
    return undefined;
  }
}
