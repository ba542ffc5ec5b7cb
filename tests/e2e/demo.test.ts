/** `walferry demo` in a copy of the checkout, from a path with a space: whole runs, right after a crash and interrupted. */
import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { placesOf } from '../../scripts/local/cluster/places.ts';
import { testRun } from '../support/run.ts';
import { until } from '../support/until.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PARTS = ['contract', 'postgres', 'activities', 'workflows', 'workers', 'scripts'];
const DEMO_SECONDS = 200;

/**
 * Its data may be outside the checkout, where the end of the test run removes nothing: 130 MB per copy.
 */
function copyOfCheckout(): string {
  const checkout = path.join(mkdtempSync(path.join(testRun().folder, 'demo-')), 'a checkout');
  mkdirSync(checkout);
  for (const part of PARTS)
    cpSync(path.join(ROOT, part), path.join(checkout, part), { recursive: true });
  for (const file of ['package.json', 'package-lock.json', 'tsconfig.json']) {
    cpSync(path.join(ROOT, file), path.join(checkout, file));
  }
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(checkout, 'node_modules'));
  onTestFinished(() => {
    if (processesOf(checkout).length === 0) {
      rmSync(placesOf(path.join(checkout, '.local')).data, { recursive: true, force: true });
    }
  });
  return checkout;
}

class Demo {
  out = '';
  readonly #child;
  readonly #ended: Promise<unknown>;

  constructor(checkout: string, ...words: string[]) {
    // A separate process group, so that a signal reaches this run and not the tests.
    this.#child = spawn(process.execPath, ['scripts/walferry.mjs', 'demo', ...words], {
      cwd: checkout,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    }
    this.#ended = once(this.#child, 'close');
  }

  async says(words: string): Promise<void> {
    await until(
      `"${words}"`,
      () => {
        if (this.#child.exitCode !== null) throw new Error(`ended early:\n${this.out}`);
        return this.out.includes(words);
      },
      { seconds: DEMO_SECONDS },
    );
  }

  /** To the whole group, as Ctrl-C in a terminal does. */
  signal(signal: NodeJS.Signals): void {
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, signal);
  }

  async ended(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }
}

/** Command lines of living processes that name the folder. */
function processesOf(checkout: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes(checkout) ? [line] : [];
      } catch {
        return []; // it ended between reading the folder and reading the file
      }
    });
}

test('a run right after a crash of an earlier one survives two kills, ends equal, and leaves no process', async () => {
  const checkout = copyOfCheckout();
  const words = ['--rows', '60000', '--rate', '200'];
  const crashed = new Demo(checkout, ...words);
  await crashed.says('started in its place');
  crashed.signal('SIGKILL');
  await crashed.ended();
  expect(processesOf(checkout).length).toBeGreaterThan(0);

  const demo = new Demo(checkout, ...words);
  const code = await demo.ended();
  expect(code, demo.out).toBe(0);
  expect(demo.out).toContain('terminating workflow demo-');
  expect(demo.out).toContain('$ temporal workflow start --type migrateDatabase');
  expect(demo.out).toMatch(/Web UI: http:\S+\/namespaces\/default\/workflows\/demo-/);
  const [, done, kept] =
    /of the (\d+) from before the kill (\d+) were not repeated/.exec(demo.out) ?? [];
  expect(Number(done)).toBeGreaterThan(0);
  expect(kept).toBe(done);
  expect(demo.out).toMatch(/kills survived +│ 2 \(copy, stream\)/);
  expect(demo.out).toMatch(/ledger +│ holds, [\d,]+ commits/);
  expect(demo.out).toMatch(/equal +│ yes/);
  expect(demo.out).not.toContain('\u001b');
  expect(processesOf(checkout)).toEqual([]);
}, 480_000);

test('Ctrl-C in the middle ends everything with code 130', async () => {
  const checkout = copyOfCheckout();
  const demo = new Demo(checkout, '--rows', '60000');
  await demo.says('Web UI: ');
  demo.signal('SIGINT');
  expect(await demo.ended(), demo.out).toBe(130);
  expect(demo.out).toContain('interrupted: cleaning up');
  expect(processesOf(checkout)).toEqual([]);
}, 240_000);
