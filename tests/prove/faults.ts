/**
 * The proof of a cutover under faults: tests/e2e/cutover-faults.test.ts with every point and every fault, once a round, in a test
 * runner of its own, because each case needs servers that it may kill.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { PACKAGE } from '../../scripts/local/package.ts';
import type { Counts, Proof } from './proof.ts';

const FILE = 'tests/e2e/cutover-faults.test.ts';
/** Of the JSON reporter. */
const results = v.object({
  numPassedTests: v.number(),
  numTotalTests: v.number(),
  testResults: v.array(
    v.object({ assertionResults: v.array(v.object({ title: v.string(), status: v.string() })) }),
  ),
});

export const proof: Proof = {
  claim:
    'a kill, a freeze and a restart of either database or of Temporal, at every durable step of a cutover, end in exactly one outcome, and no write is lost or on both sides.',
  run: async ({ rounds, counted }) => {
    let counts: Counts = { cutovers: 0 };
    for (let round = 1; round <= rounds; round += 1) {
      const { numPassedTests, numTotalTests, testResults } = await everyCase();
      counts = { cutovers: (counts['cutovers'] ?? 0) + numPassedTests };
      counted(round, counts);
      if (numTotalTests > 0 && numPassedTests === numTotalTests) continue;
      const failed = testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status !== 'passed');
      throw new Error(failed.map(({ title }) => title).join('; ') || 'no case was run');
    }
  },
};

async function everyCase(): Promise<v.InferOutput<typeof results>> {
  const folder = mkdtempSync(path.join(tmpdir(), 'walferry-faults-'));
  const file = path.join(folder, 'results.json');
  const vitest = path.join(PACKAGE, 'node_modules/vitest/vitest.mjs');
  const words = ['run', '--project', 'e2e', FILE, '--reporter=json', `--outputFile=${file}`];
  // The outer runner's own variables would make the inner one a worker of it.
  const outer = Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|WALFERRY_PROVE|PGSERVICEFILE|PGPASSFILE|TEMPORAL_)/.test(name),
  );
  try {
    const child = spawn(process.execPath, [vitest, ...words], {
      cwd: PACKAGE,
      stdio: ['ignore', 2, 2],
      env: { ...Object.fromEntries(outer), WALFERRY_PROVE_FAULTS: 'all' },
    });
    await new Promise((resolve) => child.once('exit', resolve));
    return v.parse(results, JSON.parse(readFileSync(file, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
