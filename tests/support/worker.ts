/**
 * Worker processes of the tests, started as in production: one process, no wrapper, so that a signal hits the worker and
 * nothing else. Every process is recorded in the run's folder and ended with the run, also by a later run when this one
 * is killed.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { onTestFailed } from 'vitest';
import { hasEnded, isAlive, processOf, writeRecord } from '../../scripts/local/cluster/process.ts';
import type { StartedProcess } from '../../scripts/local/cluster/process.ts';
import { YOUNG_FLAG } from '../../workers/options.ts';
import { wordsOf } from './built.ts';
import { testRun } from './run.ts';
import { until } from './until.ts';

export interface WorkerProcess extends AsyncDisposable {
  readonly pid: number;
  readonly name: string;
  /** Everything the worker wrote so far, standard output and standard error. */
  log(): string;
  isAlive(): boolean;
  /** SIGKILL, and waits until the process is gone. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the orderly end. */
  shutDown(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** SIGSTOP: the process holds its connections and does nothing. */
  freeze(): void;
  /** SIGCONT after {@link freeze}. */
  thaw(): void;
}

export interface WorkerOptions {
  /** In the name of the log file. */
  name?: string;
  env?: Readonly<Record<string, string>>;
  args?: readonly string[];
  /** Default: the checkout. */
  cwd?: string;
  /** Default: wait until the worker says that it is ready. */
  waitUntilReady?: boolean;
}

type ProcessOptions = Omit<WorkerOptions, 'waitUntilReady'> & { ready: RegExp | null };

const ROOT = path.resolve(import.meta.dirname, '../..');
/** What a worker prints when it polls. */
export const READY = /worker ready/;
/** Several that start in parallel on two cores may each have to bundle the workflow code first. */
const READY_SECONDS = 120;
const SHUTDOWN_MILLISECONDS = 45_000;
const LOG_TAIL_LINES = 40;
let started = 0;

/** Starts `walferry worker` of the checkout with the environment of this run. */
export async function startWorker(options: WorkerOptions = {}): Promise<WorkerProcess> {
  const words = [YOUNG_FLAG, ...wordsOf('scripts/program.ts'), 'worker', ...(options.args ?? [])];
  return startProgram(process.execPath, words, {
    name: 'worker',
    ...options,
    ready: options.waitUntilReady === false ? null : READY,
  });
}

/** Starts any TypeScript file the same way. */
export async function startProcess(file: string, options: ProcessOptions): Promise<WorkerProcess> {
  const name = options.name ?? path.basename(file, '.ts');
  const words = [YOUNG_FLAG, '--import', 'tsx', file, ...(options.args ?? [])];
  return startProgram(process.execPath, words, { name, ...options });
}

/** Starts any program the same way. */
export async function startProgram(
  program: string,
  words: readonly string[],
  options: Omit<ProcessOptions, 'args'>,
): Promise<WorkerProcess> {
  const { folder } = testRun();
  const name = options.name ?? path.basename(program);
  const logFile = path.join(folder, 'logs', `${name}-${process.pid}-${++started}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(program, words, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const identity = child.pid === undefined ? undefined : processOf(child.pid);
  if (!identity) throw new Error(`${name} did not start`);
  const record = path.join(folder, 'processes', `${identity.pid}.json`);
  writeRecord(record, identity);
  const worker = new ChildWorker(name, child, identity, logFile, record);
  showLogOnFailure(worker);
  const { ready } = options;
  if (ready) await waitForReady(worker, ready);
  return worker;
}

async function waitForReady(worker: ChildWorker, ready: RegExp): Promise<void> {
  const outcome = await until(
    `${worker.name} to be ready`,
    () => (worker.isAlive() ? ready.test(worker.log()) && 'ready' : 'ended'),
    { seconds: READY_SECONDS },
  );
  if (outcome === 'ended') throw new Error(`${worker.name} ended at once:\n${worker.log()}`);
}

class ChildWorker implements WorkerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #identity: StartedProcess;
  readonly #logFile: string;
  readonly #record: string;

  constructor(
    name: string,
    child: ChildProcess,
    identity: StartedProcess,
    logFile: string,
    record: string,
  ) {
    this.name = name;
    this.#child = child;
    this.#identity = identity;
    this.#logFile = logFile;
    this.#record = record;
  }

  get pid(): number {
    return this.#identity.pid;
  }

  log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  isAlive(): boolean {
    return isAlive(this.#identity);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended(5_000);
  }

  async shutDown(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.#child.kill('SIGTERM');
    await this.#ended(SHUTDOWN_MILLISECONDS);
    await until(
      `${this.name}'s exit code`,
      () => this.#child.exitCode !== null || this.#child.signalCode !== null,
    );
    return { code: this.#child.exitCode, signal: this.#child.signalCode };
  }

  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #ended(milliseconds: number): Promise<void> {
    if (!(await hasEnded(this.#identity, milliseconds))) {
      throw new Error(`${this.name} (process ${this.pid}) does not end`);
    }
    rmSync(this.#record, { force: true });
  }
}

function showLogOnFailure(worker: ChildWorker): void {
  // Read now: at the time of the report the run's folder may be gone.
  const show = (): void => {
    const tail = worker.log().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    process.stderr.write(`--- end of the log of ${worker.name} (${worker.pid}) ---\n${tail}\n`);
  };
  try {
    onTestFailed(show);
  } catch {
    // Started in a hook: there is no test to watch yet.
  }
}
