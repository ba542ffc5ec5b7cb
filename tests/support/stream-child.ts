/** One lease of the stream in its own process, which can be killed, stopped and measured. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Migration } from '../../contract/migration.ts';
import { wordsOf } from './built.ts';
import { OPTIONS } from './stream.ts';

export interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  readonly ended: Promise<unknown>;
}

/**
 * Streams until the process is ended.
 * @param way `back`: the way back of the migration.
 */
export function streamProcess(
  migration: Migration,
  env: Record<string, string> = {},
  way: 'there' | 'back' = 'there',
): Child {
  const words = [JSON.stringify(migration), JSON.stringify(OPTIONS), way];
  const child = spawn(process.execPath, [...wordsOf('tests/support/stream-process.ts'), ...words], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  child.stdout.on('data', (data: Buffer) => lines.push(...data.toString().trim().split('\n')));
  return { process: child, lines, ended: once(child, 'close') };
}

/** Most memory that a process ever had resident, MiB. */
export function peakMiB(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / 1024;
}
