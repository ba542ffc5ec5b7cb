/** The writing application as a process of its own, and what it says about its writes. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBackground, type BackgroundProcess } from '../cluster/background.ts';
import { endProcess, isAlive } from '../cluster/process.ts';
import { sizeOf } from './log-size.ts';

const STOP_MS = 15_000;
const BEGIN_MS = 30_000;
const LOOK_EVERY_MS = 100;

export interface WriterOrder {
  readonly service: string;
  /** Where it writes when `service` refuses. */
  readonly or?: string;
  /** Changes per second. */
  readonly rate: number;
  readonly ledger: string;
}

export class WriterProcess {
  readonly #process: BackgroundProcess;
  /** The log of earlier ones precedes ours. */
  readonly #from: number;

  private constructor(process: BackgroundProcess, from: number) {
    this.#process = process;
    this.#from = from;
  }

  static start(data: string, { service, or, rate, ledger }: WriterOrder): WriterProcess {
    const from = sizeOf(`${data}/logs/writer.log`);
    const process = startBackground(data, 'writer', [
      ...['writer', service, '--rate', String(rate), '--ledger', ledger],
      ...(or === undefined ? [] : ['--or', or]),
    ]);
    return new WriterProcess(process, from);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** The newest match in what it printed. @throws Error when it ended. */
  said(pattern: RegExp): RegExpExecArray | undefined {
    if (!isAlive(this.#process)) throw new Error(`the writer ended: ${this.#end()}`);
    return this.#lines()
      .map((line) => pattern.exec(line))
      .findLast((match) => match !== null);
  }

  /** Resolves when it writes, or is refused. */
  async begun(): Promise<void> {
    const deadline = Date.now() + BEGIN_MS;
    while (!this.said(/^\d+ s: [1-9]|refuses writes/)) {
      if (Date.now() > deadline) throw new Error(`the writer does not begin: ${this.#end()}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Lets it finish its open transactions. @returns its last line, the totals. */
  async stop(): Promise<string> {
    if (!isAlive(this.#process)) throw new Error(`the writer ended: ${this.#end()}`);
    await endProcess(this.#process, [['SIGTERM', STOP_MS]]);
    return this.#lines().at(-1) ?? '';
  }

  #lines(): string[] {
    return readFileSync(this.#process.logFile, 'utf8').slice(this.#from).trimEnd().split('\n');
  }

  #end(): string {
    return this.#lines().at(-1) ?? '';
  }
}
