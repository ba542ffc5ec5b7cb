/**
 * The entry point of every command (`npm start`, `npm test`, `npm run …`). Plain JavaScript without dependencies,
 * because a fresh clone has nothing else: it installs the node packages for commands that set up, and then runs the
 * command's TypeScript in its own process, so that signals reach it directly.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** These install what is missing; the others only report it. */
const SETTING_UP = ['setup', 'start', 'test'];
/** These talk to servers and use the addresses of the local ones unless the caller has set others. */
const WITH_ENVIRONMENT = [
  ...['worker', 'writer', 'watch', 'tail', 'compare', 'cleanup', 'preflight', 'replay'],
];
const FILES = { worker: 'workers/worker.ts', bench: 'bench/main.ts' };

const [name, ...words] = process.argv.slice(2);
await main();

async function main() {
  if (name === undefined) fail('usage: node scripts/run.mjs COMMAND [ARGUMENT …]');
  checkNode();
  const file = path.join(ROOT, FILES[name] ?? `scripts/${name}.ts`);
  if (!existsSync(file)) fail(`there is no command "${name}"`);
  if (!packagesAreInstalled()) {
    if (!SETTING_UP.includes(name)) fail('the node packages are not installed: run npm run setup');
    installPackages();
  }
  const asksForHelp = words.some((word) => word === '--help' || word === '-h');
  if (name === 'cluster' && !asksForHelp && !existsSync(path.join(ROOT, '.local/env'))) {
    fail('set-up has not run in this checkout: run npm run setup');
  }
  await run(file);
}

function checkNode() {
  const { engines } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const [major, minor] = process.versions.node.split('.').map(Number);
  // `^20.19.0 || >=24`: only these two forms, because there is no package yet that could parse others.
  const fits = [...engines.node.matchAll(/(\^|>=)(\d+)(?:\.(\d+))?/g)].some(
    ([, sign, wantedMajor, wantedMinor = '0']) =>
      (major === Number(wantedMajor) && minor >= Number(wantedMinor)) ||
      (sign === '>=' && major > Number(wantedMajor)),
  );
  if (!fits) fail(`Node ${engines.node} is needed; this is ${process.versions.node}`);
}

/**
 * Compares the lock file with npm's record of what it installed. Not file times: a checkout changes those. Optional
 * packages are skipped, as most of them are for other machines.
 */
function packagesAreInstalled() {
  const wanted = packagesOf(path.join(ROOT, 'package-lock.json'));
  const installed = packagesOf(path.join(ROOT, 'node_modules/.package-lock.json'));
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(
    ([folder, entry]) =>
      folder === '' || entry.optional === true || installed[folder]?.version === entry.version,
  );
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function installPackages() {
  say('node packages: installing with npm ci (a minute on a slow network) …');
  const outcome = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], {
    cwd: ROOT,
    // Standard output belongs to the command itself, whose last lines may be parsed.
    stdio: ['ignore', 2, 2],
  });
  if (outcome.status !== 0) {
    fail(`npm ci failed in ${ROOT}: fix that by hand, then run this again`);
  }
}

/** In this process: behind a parent that forwards signals, kill -9 and Ctrl-Z would hit only the parent. */
async function run(file) {
  const tsx = createRequire(import.meta.url).resolve('tsx');
  Object.assign(process.env, environment());
  process.argv = [process.execPath, file, ...words];
  // As if started with it, because children that run TypeScript inherit it from here.
  process.execArgv.push('--import', pathToFileURL(tsx).href);
  const { register } = await import('tsx/esm/api');
  register();
  await import(pathToFileURL(file).href);
}

/** The caller's environment, completed with what set-up wrote into `.local/env`. */
function environment() {
  if (!WITH_ENVIRONMENT.includes(name)) return process.env;
  const local = localEnvironment();
  const complete = { ...process.env };
  for (const [variable, value] of Object.entries(local)) {
    if (variable === 'PATH') complete.PATH = `${value}${path.delimiter}${process.env.PATH ?? ''}`;
    // A profile has its own address; ours would override it.
    else if (variable === 'TEMPORAL_ADDRESS' && hasTemporalProfile()) continue;
    else complete[variable] ??= value;
  }
  return complete;
}

function hasTemporalProfile() {
  return ['TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'].some((variable) => process.env[variable]);
}

/** Reads the lines `export NAME='value'` that set-up writes; of PATH the part before the current one. */
function localEnvironment() {
  let text = '';
  try {
    text = readFileSync(path.join(ROOT, '.local/env'), 'utf8');
  } catch {
    // No set-up here: the caller has addresses of their own.
  }
  const lines = text.matchAll(/^export ([A-Z_]+)='((?:[^']|'\\'')*)'/gm);
  return Object.fromEntries(
    [...lines].map(([, variable, value]) => [variable, value.replaceAll(String.raw`'\''`, "'")]),
  );
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

function fail(text) {
  say(`walferry: ${text}`);
  process.exit(1);
}
