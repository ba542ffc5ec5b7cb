/** The package as users install it: what it holds, and a whole migration with nothing else. */
import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import '../support/setup-files/own-servers.ts';
import { YOUNG_FLAG } from '../../workers/options.ts';
import { Lab } from '../support/lab.ts';
import { READY, startProgram } from '../support/worker.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const Packed = v.tuple([
  v.object({ filename: v.string(), files: v.array(v.object({ path: v.string() })) }),
]);
const Lock = v.object({
  packages: v.record(v.string(), v.looseObject({ dev: v.optional(v.boolean()) })),
});
const NPM = ['--no-audit', '--no-fund', '--prefer-offline'];

let base: string;
/** Where it is installed: a folder that holds nothing else, with a space in its name. */
let app: string;
let packed: readonly string[];

beforeAll(async () => {
  base = mkdtempSync(path.join(tmpdir(), 'walferry-package-'));
  app = path.join(base, 'an app');
  mkdirSync(app);
  const { stdout } = await npm(ROOT, 'pack', '--json', '--pack-destination', base);
  // The build before it prints to the same stream.
  const [{ filename, files }] = v.parse(Packed, JSON.parse(stdout.slice(stdout.indexOf('[\n  {'))));
  packed = files.map((file) => file.path);
  cpSync(path.join(base, filename), path.join(app, 'walferry.tgz'));
  writeLock();
  await npm(app, 'ci', '--omit=dev', ...NPM);
}, 300_000);
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** The packages that the tests run with, which are in npm's cache: a registry may hold newer ones. */
function writeLock(): void {
  const manifest: unknown = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const { dependencies, bin, version, overrides } = v.parse(
    v.object({
      dependencies: v.record(v.string(), v.string()),
      bin: v.record(v.string(), v.string()),
      version: v.string(),
      overrides: v.record(v.string(), v.string()),
    }),
    manifest,
  );
  const { packages } = v.parse(
    Lock,
    JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')),
  );
  const others = Object.entries(packages).filter(([at, { dev }]) => at !== '' && dev !== true);
  const wanted = { name: 'app', dependencies: { walferry: 'file:walferry.tgz' }, overrides };
  const own = { version, resolved: 'file:walferry.tgz', dependencies, bin };
  const lock = {
    name: 'app',
    lockfileVersion: 3,
    requires: true,
    packages: { '': wanted, 'node_modules/walferry': own, ...Object.fromEntries(others) },
  };
  writeFileSync(path.join(app, 'package.json'), JSON.stringify(wanted));
  writeFileSync(path.join(app, 'package-lock.json'), JSON.stringify(lock));
}

test('the package holds the built program and nothing else', () => {
  const others = packed.filter((file) => !file.startsWith('dist/'));
  const known = ['LICENSE', 'README.md', 'package.json', 'scripts/walferry.mjs'];
  expect(known).toEqual(expect.arrayContaining(others));
  expect(others).toEqual(expect.arrayContaining(['package.json', 'scripts/walferry.mjs']));
  expect(packed).toContain('dist/workflow-bundle.js');
  const parts = new Set(packed.filter((file) => file.startsWith('dist/')).map(partOf));
  const code = ['activities', 'contract', 'postgres', 'scripts', 'workers', 'workflows'];
  expect([...parts].sort()).toEqual([...code, 'workflow-bundle.js'].sort());
  expect(packed.filter((file) => !/\.(js|mjs|sh|json)$|README\.md|LICENSE/.test(file))).toEqual([]);
});

test('an installation holds no TypeScript and no loader', () => {
  const installed = readdirSync(path.join(app, 'node_modules'));
  expect(installed).toContain('walferry');
  for (const tool of ['typescript', 'tsx', 'esbuild', 'vitest']) {
    expect(installed).not.toContain(tool);
  }
});

test('with the installed package alone a database is checked, moved, cut over and compared', async () => {
  await using lab = await Lab.open(`create table item (id bigint primary key, name text);
    insert into item select n, 'item ' || n from generate_series(1, 20000) n; analyze item`);
  const { source, target } = lab.pair;
  writeFileSync(path.join(app, 'migration.json'), JSON.stringify({ source, target }));
  const checked = await walferry('preflight', 'migration.json', '--workflow-id', lab.id);
  expect(checked).toMatch(/^ready: 0 errors/m);

  const words = ['worker', '--task-queue', lab.id, '--log-format', 'json'];
  const worker = await startProgram(program(), words, {
    name: 'installed',
    ready: READY,
    cwd: app,
  });
  lab.workers.push(worker);
  const line = readFileSync(`/proc/${worker.pid}/cmdline`, 'utf8').split('\0');
  expect(line).toContain(YOUNG_FLAG);
  expect(line).not.toContain('--import');

  await lab.start();
  await lab.phase('stream');
  await lab.onSource(`insert into item values (0, 'while it streams')`);
  await lab.finish();
  expect(await walferry('compare', source, target)).toMatch(/^equal: 1 tables/m);
  expect(await walferry('cleanup', source, target, '--workflow-id', lab.id)).toContain(
    'left nothing',
  );
});

/** As a person types it, where npm links it. @throws Error unless it exits with 0. */
async function walferry(...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program(), words, { cwd: app });
  return stdout;
}

function program(): string {
  return path.join(app, 'node_modules/.bin/walferry');
}

function partOf(file: string): string {
  return file.split('/')[1] ?? '';
}

async function npm(cwd: string, ...words: string[]): Promise<{ stdout: string }> {
  return promisify(execFile)('npm', words, { cwd, maxBuffer: 64 * 1024 * 1024 });
}
