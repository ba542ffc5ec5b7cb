/**
 * `npm test`: set-up, then every check: formatting, lint, types, and all tests against real servers. The last line is
 * the result: `N passed, N failed`, where formatting, lint and types count as one each. These three compute in the time in which
 * tests wait, one after the other; each prints when it has ended.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { PACKAGE } from '../local/package.ts';
import { SetupError, setUp } from '../local/setup/set-up.ts';
import { fetchVersions } from '../local/setup/versions.ts';
import { summaryLine, testCounts } from './summary.ts';
import type { Counts } from './summary.ts';

const program = new Command('npm test --')
  .description(
    'Sets up what is missing, then checks formatting, lint and types and runs every test.',
  )
  .argument('[filters...]', 'test files to run (parts of their paths); the checks always run')
  .option(
    '--project <names...>',
    'only these test projects: unit, replay, pg, e2e, setup, fidelity',
  )
  .action(async (filters: string[], options: { project?: string[] }) => {
    const projects = (options.project ?? []).flatMap((name) => ['--project', name]);
    process.exitCode = await runAll([...projects, ...filters]);
  });

await program.parseAsync();

async function runAll(vitestWords: readonly string[]): Promise<number> {
  try {
    await setUp();
    // Without them the tests between versions are skipped, with their names; that is no failure.
    fetchVersions();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`walferry: ${error.message}`);
    // Without the servers no test is meaningful; that is one failure, not none.
    console.log(summaryLine({ passed: 0, failed: 1, skipped: 0 }));
    return 1;
  }
  const counts = await Promise.all([staticChecks(), tests(vitestWords)]);
  const total = counts.flat().reduce((one, other) => ({
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: one.skipped + other.skipped,
  }));
  console.log(summaryLine(total));
  return total.failed === 0 ? 0 : 1;
}

async function staticChecks(): Promise<Counts[]> {
  return [
    await check('prettier', ['prettier/bin/prettier.cjs', '--check', '.']),
    await check('eslint', ['eslint/bin/eslint.js', '.']),
    await check('tsc', ['typescript/bin/tsc', '--noEmit']),
  ];
}

async function check(name: string, words: readonly string[]): Promise<Counts> {
  let said = '';
  const passed = (await runNode(words, (text) => (said += text))) === 0;
  // At once, or it would be mixed with what tests print.
  process.stdout.write(`\n> ${name}: ${passed ? 'passed' : 'failed'}\n${said}`);
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
}

async function tests(words: readonly string[]): Promise<Counts> {
  console.log('\n> vitest');
  const folder = mkdtempSync(path.join(tmpdir(), 'walferry-report-'));
  const report = path.join(folder, 'report.json');
  try {
    const code = await runNode([
      ...['vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json'],
      ...[`--outputFile.json=${report}`, ...words],
    ]);
    return testCounts(readReport(report), code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readReport(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // It died before it could write one.
    return '';
  }
}

/**
 * Runs a program of node_modules in this Node, without a wrapper; a signal ends both.
 * @param say is given what it prints, which is else printed here.
 */
function runNode(
  [file = '', ...words]: readonly string[],
  say?: (text: string) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const program = path.join(PACKAGE, 'node_modules', file);
    const output = say ? 'pipe' : 'inherit';
    const stdio = ['inherit', output, output] as const;
    const child = spawn(process.execPath, [program, ...words], { cwd: PACKAGE, stdio: [...stdio] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => say?.(data.toString()));
    }
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    process.once('SIGTERM', pass);
    process.once('SIGINT', pass);
    child.once('error', reject);
    // Not `exit`: what it printed may still be on its way.
    child.once('close', (code, signal) => {
      process.off('SIGTERM', pass);
      process.off('SIGINT', pass);
      // Ended by a signal: end here as well, without the next check.
      if (signal !== null) process.kill(process.pid, signal);
      resolve(code ?? 1);
    });
  });
}
