/** The processes of the demo apart from the servers: workers that are killed and replaced, and the writing application. */
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { backgroundProcesses, startBackground } from '../cluster/background.ts';
import type { BackgroundProcess } from '../cluster/background.ts';
import { endProcess, hasEnded, isAlive, signalProcess } from '../cluster/process.ts';

const READY = /worker ready/;
const READY_SECONDS = 60;
const LOOK_EVERY_MS = 50;
const WRITER_STOP_MS = 15_000;

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

export function startWriter(
  data: string,
  settings: { rate: number; ledger: string },
): BackgroundProcess {
  return startBackground(data, 'writer', [
    'writer',
    'source',
    '--rate',
    String(settings.rate),
    '--ledger',
    settings.ledger,
  ]);
}

/** Tells the writer to finish its open transactions; returns its last line, the totals. */
export async function stopWriter(writer: BackgroundProcess): Promise<string> {
  if (!isAlive(writer)) throw new Error(`the writer ended unexpectedly; see ${writer.logFile}`);
  await endProcess(writer, [['SIGTERM', WRITER_STOP_MS]]);
  return readFileSync(writer.logFile, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
