/**
 * Where a secret or a row's value could appear outside the databases: everything that Temporal keeps or shows of a
 * migration, what the workers write, and the arguments of every program that they start. All of it is collected as
 * text, payloads decoded, so that a test can look for values in it.
 */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from './lab.ts';
import { temporal, temporalServer } from './temporal.ts';

/** Client programs live for a few hundred milliseconds. */
const LOOK_EVERY_MS = 3;

/** Collects the arguments of a process and of all its children until the end of the scope. */
export class ArgumentWatch implements AsyncDisposable {
  readonly #pid: number;
  readonly #seen = new Set<string>();
  readonly #ended: Promise<void>;
  #stopping = false;

  constructor(pid: number) {
    this.#pid = pid;
    this.#ended = this.#watch();
  }

  /** One line for each distinct command line. */
  get lines(): string[] {
    return [...this.#seen];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await this.#ended;
  }

  async #watch(): Promise<void> {
    while (!this.#stopping) {
      for (const pid of [this.#pid, ...childrenOf(this.#pid)]) {
        const line = contents(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
        if (line !== '') this.#seen.add(line);
      }
      await sleep(LOOK_EVERY_MS);
    }
  }
}

/** What people and other programs see of a migration at this moment, place → text. */
export async function shown(lab: Lab, moment: string): Promise<Map<string, string>> {
  const commands = {
    history: ['workflow', 'show', '-o', 'json'],
    describe: ['workflow', 'describe', '-o', 'json'],
    'describe as text': ['workflow', 'describe'],
    'summary and Current Details': ['workflow', 'metadata', '-o', 'json'],
    'query progress': ['workflow', 'query', '--name', 'progress'],
  };
  const places = new Map<string, string>();
  for (const [place, words] of Object.entries(commands)) {
    const outcome = await temporal(...words, '-w', lab.id);
    if (outcome.code !== 0) throw new Error(`temporal ${words.join(' ')}: ${outcome.stderr}`);
    places.set(`${place}, ${moment}`, decoded(outcome.stdout));
  }
  return places;
}

/**
 * What is written outside the databases: the workers' logs, the Temporal server's log and its database file.
 */
export function written(lab: Lab): Map<string, string> {
  const server = temporalServer();
  const places = new Map(lab.workers.map((worker) => [`log of ${worker.name}`, worker.log()]));
  places.set('log of the Temporal server', contents(server.logFile));
  // With its write-ahead file: only that has the newest pages.
  const files = readdirSync(server.spec.folder).filter((file) => file.startsWith('temporal.db'));
  const texts = files.map((file) => contents(path.join(server.spec.folder, file)));
  places.set('database file of the Temporal server', texts.join('\n'));
  return places;
}

/** The CLI leaves some payloads in base64: both forms, one after the other. */
function decoded(text: string): string {
  const payloads = [...text.matchAll(/"data":\s*"([A-Za-z0-9+/=]+)"/g)];
  return [text, ...payloads.map(([, data = '']) => Buffer.from(data, 'base64'))].join('\n');
}

/** Children of all threads of a process. */
function childrenOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      contents(`/proc/${pid}/task/${task}/children`)
        .split(' ')
        .filter((child) => child !== ''),
    );
  } catch {
    return []; // it ended
  }
}

/** Byte by byte, so that text is also found in a binary file; empty when the file is gone. */
function contents(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
