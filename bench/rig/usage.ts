/** CPU time and memory of processes, from /proc; on other systems nothing is known and nothing is printed. */
import { readFileSync, writeFileSync } from 'node:fs';

/** Linux counts in these units, whatever the kernel's own rate. */
const TICKS_PER_SECOND = 100;
const NANOSECONDS_PER_SECOND = 1e9;
const KIB = 1024;

/** CPU seconds, user and system, of a process and all of its threads; undefined when it is gone or unknown. */
export function processSeconds(pid: number): number | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command's name is in parentheses and may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * CPU seconds of a process with one thread, as PostgreSQL's are. The scheduler counts them in nanoseconds: a session that
 * applies a thousand rows is done within one tick.
 */
export function threadSeconds(pid: number): number | undefined {
  const nanoseconds = read(`/proc/${pid}/schedstat`)?.split(' ')[0];
  return nanoseconds === undefined
    ? processSeconds(pid)
    : Number(nanoseconds) / NANOSECONDS_PER_SECOND;
}

/** Highest resident memory since the last {@link forgetPeak}, MiB. */
export function peakMemory(pid: number): number | undefined {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '');
  return line ? Math.round(Number(line[1]) / KIB) : undefined;
}

/** Resident memory now, MiB. */
export function residentMemory(pid: number): number | undefined {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '');
  return line ? Math.round(Number(line[1]) / KIB) : undefined;
}

/** Resets the peak to the present resident memory. */
export function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Not Linux, or not allowed: the peak is the one since the start, which is an upper bound.
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
