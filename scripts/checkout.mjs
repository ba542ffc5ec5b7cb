/**
 * Runs walferry from a checkout: its TypeScript, in this process, so that signals reach the command directly. Plain JavaScript
 * without dependencies, because a fresh clone has nothing else: it installs the node packages for commands that set up.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = path.resolve(import.meta.dirname, '..');
/** These install what is missing; the others only report it. */
const SETTING_UP = ['setup', 'demo', 'test'];
/** These talk to servers and use the addresses of the local ones unless the caller has set others. */
const WITH_ENVIRONMENT = [
  ...['worker', 'writer', 'watch', 'report', 'tail', 'compare', 'cleanup', 'preflight', 'replay'],
];
/** Commands that only a checkout has. */
const DEVELOPMENT = {
  test: 'scripts/check/suite.ts',
  fidelity: 'scripts/check/fidelity.ts',
  bench: 'bench/main.ts',
  prove: 'scripts/prove/main.ts',
};

const words = process.argv.slice(2);
const [name = ''] = words;
if (!packagesAreInstalled()) {
  if (!SETTING_UP.includes(name)) fail('the node packages are not installed: run npm run setup');
  installPackages();
}
if (WITH_ENVIRONMENT.includes(name)) completeEnvironment();
if (Object.hasOwn(DEVELOPMENT, name)) await run(DEVELOPMENT[name], words.slice(1));
else await run('scripts/program.ts', words);

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
  const outcome = spawnSync(
    'npm',
    ['ci', '--include=dev', '--prefer-offline', '--no-audit', '--no-fund'],
    {
      cwd: ROOT,
      // Standard output belongs to the command itself, whose last lines may be parsed.
      stdio: ['ignore', 2, 2],
    },
  );
  if (outcome.status !== 0) {
    fail(`npm ci failed in ${ROOT}: fix that by hand, then run this again`);
  }
}

/** In this process: behind a parent that forwards signals, kill -9 and Ctrl-Z would hit only the parent. */
async function run(program, args) {
  const file = path.join(ROOT, program);
  process.argv = [process.execPath, file, ...args];
  // As if started with it, because children that run TypeScript inherit it from here.
  process.execArgv.push('--import', import.meta.resolve('tsx'));
  const { register } = await import('tsx/esm/api');
  register();
  await import(pathToFileURL(file).href);
}

/** Completes the caller's environment with what set-up wrote into `.local/env`. */
function completeEnvironment() {
  for (const [variable, value] of Object.entries(localEnvironment())) {
    if (variable === 'PATH')
      process.env.PATH = `${value}${path.delimiter}${process.env.PATH ?? ''}`;
    // A profile has its own address; ours would override it.
    else if (variable === 'TEMPORAL_ADDRESS' && hasTemporalProfile()) continue;
    else process.env[variable] ??= value;
  }
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
  process.exit(2);
}
