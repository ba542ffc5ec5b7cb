/** The workers of the demo, which are killed and replaced. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { backgroundProcesses, startBackground } from '../cluster/background.ts';
import type { BackgroundProcess } from '../cluster/background.ts';
import { hasEnded, isAlive, signalProcess } from '../cluster/process.ts';
import { sizeOf } from './log-size.ts';

const READY = /worker ready/;
const READY_SECONDS = 120;
const LOOK_EVERY_MS = 50;

export class Workers {
  readonly #data: string;
  #started = 0;

  /** @param data folder of process records and logs. */
  constructor(data: string) {
    this.#data = data;
  }

  /** Starts one more worker; resolves when it polls. */
  async start(): Promise<BackgroundProcess> {
    this.#started += 1;
    const name = `worker-${this.#started}`;
    const before = sizeOf(`${this.#data}/logs/${name}.log`);
    const worker = startBackground(this.#data, name, ['worker', '--log-format', 'json']);
    const deadline = Date.now() + READY_SECONDS * 1000;
    // The log of an earlier run precedes ours.
    while (!READY.test(readFileSync(worker.logFile, 'utf8').slice(before))) {
      if (!isAlive(worker)) throw new Error(`${name} ended at once; see ${worker.logFile}`);
      if (Date.now() > deadline)
        throw new Error(`${name} does not become ready; see ${worker.logFile}`);
      await sleep(LOOK_EVERY_MS);
    }
    return worker;
  }

  /** The worker with this Temporal identity, `pid@host`. */
  of(identity: string | undefined): BackgroundProcess | undefined {
    return this.alive().find(({ pid }) => `${pid}@${hostname()}` === identity);
  }

  alive(): BackgroundProcess[] {
    return backgroundProcesses(this.#data).filter(({ name }) => name.startsWith('worker-'));
  }
}

/** SIGKILL: the process gets no chance to clean up. */
export async function killHard(victim: BackgroundProcess): Promise<void> {
  signalProcess(victim, 'SIGKILL');
  if (!(await hasEnded(victim, 5_000))) throw new Error(`${victim.name} survived SIGKILL`);
}
