/**
 * `npm run prove -- NAME --rounds N` (or `--minutes N`): a long proof of the cutover's design against the product's own code, on servers of its own. Runs
 * it inside the test runner, so that a driver uses what the tests use. Prints a line while it runs, then the totals as JSON and
 * one sentence. Exit codes: 0 it held, 1 it was broken or could not be run to its end, 2 wrong words.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import type { Proved } from '../../tests/prove/proof.ts';
import { PROOF_NAMES, PROOFS } from '../../tests/prove/proofs.ts';
import { sentenceOf } from '../../tests/prove/rounds.ts';
import { PACKAGE } from '../local/package.ts';

const MOST_SEED = 2 ** 31;

const there = PROOF_NAMES.filter((name) => PROOFS[name]);

const number = (least: number) => (text: string) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new InvalidArgumentError(`must be a whole number from ${least}.`);
};

const program = new Command('npm run prove --')
  .description(
    'Runs a long proof of the cutover against real servers, with the code of this checkout.',
  )
  .argument('<name>', `${there.join(', ')}`)
  .option('--rounds <n>', 'how often', number(1), 100)
  .option('--minutes <n>', 'for how long, in place of rounds (verification, reverse)', number(1))
  .option('--seed <n>', 'repeats what was drawn; by default another one each time', number(0))
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();

const [name = ''] = program.args;
const {
  rounds,
  minutes,
  seed = Math.floor(Math.random() * MOST_SEED),
} = program.opts<{
  rounds: number;
  minutes?: number;
  seed?: number;
}>();
if (!there.some((one) => one === name)) {
  program.error(`no proof "${name}"; there are: ${there.join(', ')}`);
}

const folder = mkdtempSync(path.join(tmpdir(), 'walferry-prove-'));
const file = path.join(folder, 'totals.json');
const vitest = path.join(PACKAGE, 'node_modules/vitest/vitest.mjs');
const child = spawn(process.execPath, [vitest, 'run', '--project', 'prove', '--reporter=dot'], {
  cwd: PACKAGE,
  stdio: ['ignore', 2, 2],
  env: {
    ...process.env,
    ...{ WALFERRY_PROVE: name, WALFERRY_PROVE_ROUNDS: String(rounds) },
    ...(minutes === undefined ? {} : { WALFERRY_PROVE_MINUTES: String(minutes) }),
    ...{ WALFERRY_SEED: String(seed), WALFERRY_PROVE_RESULT: file },
  },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.once('exit', (code) => {
  try {
    const proved = JSON.parse(readFileSync(file, 'utf8')) as Proved;
    process.stdout.write(`${JSON.stringify(proved)}\n${sentenceOf(proved)}\n`);
  } catch {
    process.stdout.write(`${name}: not run to its end, seed ${seed}\n`);
  }
  rmSync(folder, { recursive: true, force: true });
  process.exitCode = code === 0 ? 0 : 1;
});
