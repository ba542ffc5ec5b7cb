/**
 * What every local server has in common: one process with a log file and a record in its own folder, started to outlive
 * the command, found again by its record, and up only while exactly this process is alive and answers.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  endProcess,
  isAlive,
  processOf,
  readRecord,
  recordedProcess,
  signalProcess,
  writeRecord,
} from './process.ts';
import type { StartedProcess } from './process.ts';

const START_SECONDS = 60;
const WAIT_SECONDS = 15;
const POLL_MILLISECONDS = 30;
const LOG_END_LINES = 15;

/** How a server's process is started. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  /** Account, folder and environment of the process. */
  readonly options: { uid?: number; gid?: number; cwd?: string; env: NodeJS.ProcessEnv };
  /** Its ports: stored in the record with the process. */
  readonly ports: Readonly<Record<string, number>>;
  /** True when the process reports that it is ready, and answers. */
  readonly answers: (started: StartedProcess) => Promise<boolean>;
  /** Ends a process that does not answer in time. */
  readonly giveUp: () => Promise<void>;
}

export abstract class Server {
  readonly #folder: string;

  /** @param folder of this server alone. */
  protected constructor(folder: string) {
    this.#folder = folder;
  }

  get logFile(): string {
    return path.join(this.#folder, 'server.log');
  }

  /** The server's process when it is alive; whether or not it answers. */
  get process(): StartedProcess | undefined {
    const recorded = recordedProcess(this.record);
    return recorded && isAlive(recorded) ? recorded : undefined;
  }

  /** True when our process is alive and answers. */
  abstract isUp(): Promise<boolean>;

  /** SIGKILL to the server's first process, as from the out-of-memory killer; its children end on their own. */
  async kill(): Promise<void> {
    const running = this.process;
    if (running) await endProcess(running, [['SIGKILL', 5_000]]);
  }

  /** Sends a signal to the server's first process (SIGSTOP, SIGCONT, SIGHUP). */
  signal(signal: NodeJS.Signals): void {
    const running = this.process;
    if (running) signalProcess(running, signal);
  }

  /** Process and ports of the last start. */
  protected get record(): Record<string, unknown> | undefined {
    return readRecord(this.#recordFile);
  }

  /** Gives a running server time: one that is busy or recovers from a crash must not count as dead. */
  protected async comesUp(): Promise<boolean> {
    const deadline = Date.now() + WAIT_SECONDS * 1000;
    while (this.process) {
      if (await this.isUp()) return true;
      if (Date.now() > deadline) return false;
      await sleep(POLL_MILLISECONDS);
    }
    return false;
  }

  /** Starts the process; returns undefined when it answers, otherwise the end of its log. */
  protected async launch({ program, args, ...how }: Launch): Promise<string | undefined> {
    const log = openSync(this.logFile, 'w', 0o644);
    const child = spawn(program, args, {
      ...how.options,
      // A process group of its own: Ctrl-C in the terminal is for the command, not for the servers.
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const failed = new Promise<never>((_, reject) => child.once('error', reject));
    failed.catch(() => undefined);
    child.unref();
    const started = child.pid === undefined ? undefined : processOf(child.pid);
    if (!started) {
      await Promise.race([failed, sleep(500)]);
      return this.#logEnd();
    }
    writeRecord(this.#recordFile, { ...started, ...how.ports });
    const deadline = Date.now() + START_SECONDS * 1000;
    while (isAlive(started)) {
      if (await how.answers(started)) return undefined;
      if (Date.now() > deadline) {
        await how.giveUp();
        return `no answer within ${START_SECONDS} s\n${this.#logEnd()}`;
      }
      await sleep(POLL_MILLISECONDS);
    }
    return this.#logEnd();
  }

  /** The server's log since its start; empty when there is none. */
  protected logText(): string {
    try {
      return readFileSync(this.logFile, 'utf8');
    } catch {
      return '';
    }
  }

  get #recordFile(): string {
    return path.join(this.#folder, 'server.json');
  }

  #logEnd(): string {
    return this.logText().split('\n').slice(-LOG_END_LINES).join('\n').trim() || '(empty log)';
  }
}
