#!/usr/bin/env -S node --max-semi-space-size=4
/**
 * The command `walferry`, in a checkout and in an installation. The flag keeps a worker small (workers/options.ts): Node reads
 * it only at its start, and a parent process that passed it on would receive the signals meant for the worker.
 */
import { existsSync, readFileSync } from 'node:fs';

const INSTALLED = new URL('../dist/scripts/program.js', import.meta.url);
const CHECKOUT = new URL('./checkout.mjs', import.meta.url);
const LOADER = new URL('../node_modules/tsx', import.meta.url);

checkNode();
// In a checkout its sources: a build there may be older. Without development packages (npm ci --omit=dev) the build is meant.
const built = existsSync(INSTALLED) && !existsSync(LOADER);
await import(existsSync(CHECKOUT) && !built ? CHECKOUT : INSTALLED);

function checkNode() {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { engines } = JSON.parse(text);
  const [major, minor] = process.versions.node.split('.').map(Number);
  // `^20.19.0 || >=24`: only these two forms, because a fresh clone has no package yet that could parse others.
  const fits = [...engines.node.matchAll(/(\^|>=)(\d+)(?:\.(\d+))?/g)].some(
    ([, sign, wantedMajor, wantedMinor = '0']) =>
      (major === Number(wantedMajor) && minor >= Number(wantedMinor)) ||
      (sign === '>=' && major > Number(wantedMajor)),
  );
  if (fits) return;
  process.stderr.write(
    `walferry: Node ${engines.node} is needed; this is ${process.versions.node}\n`,
  );
  process.exit(2);
}
