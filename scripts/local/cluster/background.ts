/**
 * Background processes that outlive the command that started them: the worker and the writer of `walferry demo --keep`.
 * Each is recorded by name, so that `cluster down` and the next start find exactly this process.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { PACKAGE, WALFERRY_WORDS } from '../package.ts';
import { endProcess, isAlive, processOf, readRecord } from './process.ts';
import { recordedProcess, writeRecord } from './process.ts';
import type { StartedProcess } from './process.ts';

/** A worker gives its activities 30 s to finish. */
const GRACE_MILLISECONDS = 35_000;

export interface BackgroundProcess extends StartedProcess {
  readonly name: string;
  readonly logFile: string;
}

/**
 * Starts a command of walferry as one process (no wrapper) that outlives this one.
 * @param data the folder of records and logs, `places.data`.
 */
export function startBackground(
  data: string,
  name: string,
  words: readonly string[],
): BackgroundProcess {
  mkdirSync(recordFolder(data), { recursive: true });
  mkdirSync(path.join(data, 'logs'), { recursive: true });
  const logFile = path.join(data, 'logs', `${name}.log`);
  const log = openSync(logFile, 'a');
  const [node, ...own] = WALFERRY_WORDS;
  const child = spawn(node, [...own, ...words], {
    cwd: PACKAGE,
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  const started = child.pid === undefined ? undefined : processOf(child.pid);
  if (!started) throw new Error(`${name} did not start; see ${logFile}`);
  writeRecord(recordFile(data, name), { ...started, logFile });
  return { ...started, name, logFile };
}

/** The ones that are alive. */
export function backgroundProcesses(data: string): BackgroundProcess[] {
  if (!existsSync(recordFolder(data))) return [];
  return readdirSync(recordFolder(data))
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => {
      const record = readRecord(path.join(recordFolder(data), file));
      const started = recordedProcess(record);
      if (!started || !isAlive(started)) return [];
      const logFile = record?.['logFile'];
      return [
        {
          ...started,
          name: path.basename(file, '.json'),
          logFile: typeof logFile === 'string' ? logFile : '',
        },
      ];
    });
}

/** Ends all of them, with SIGTERM first. */
export async function endBackground(data: string): Promise<void> {
  await Promise.all(
    backgroundProcesses(data).map((running) =>
      endProcess(running, [
        ['SIGTERM', GRACE_MILLISECONDS],
        ['SIGKILL', 5_000],
      ]),
    ),
  );
  rmSync(recordFolder(data), { recursive: true, force: true });
}

function recordFolder(data: string): string {
  return path.join(data, 'processes');
}

function recordFile(data: string, name: string): string {
  return path.join(recordFolder(data), `${name}.json`);
}
