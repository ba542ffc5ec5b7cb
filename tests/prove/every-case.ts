/**
 * A proof that is a file of tests with every case, also those that are too long for each run of the tests: once a round, in a test
 * runner of its own, because each case needs servers that it may kill.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { PACKAGE } from '../../scripts/local/package.ts';
import type { Proof } from './proof.ts';

/** Of the JSON reporter. */
const results = v.object({
  numPassedTests: v.number(),
  numTotalTests: v.number(),
  testResults: v.array(
    v.object({ assertionResults: v.array(v.object({ title: v.string(), status: v.string() })) }),
  ),
});

/** @param what one case is, in the plural. */
export function everyCaseOf(file: string, what: string, claim: string): Proof {
  return {
    claim,
    run: async ({ rounds, counted }) => {
      let passed = 0;
      for (let round = 1; round <= rounds; round += 1) {
        const { numPassedTests, numTotalTests, testResults } = await everyCase(file);
        passed += numPassedTests;
        counted(round, { [what]: passed });
        if (numTotalTests > 0 && numPassedTests === numTotalTests) continue;
        const failed = testResults
          .flatMap(({ assertionResults }) => assertionResults)
          .filter(({ status }) => status !== 'passed');
        throw new Error(failed.map(({ title }) => title).join('; ') || 'no case was run');
      }
    },
  };
}

async function everyCase(tests: string): Promise<v.InferOutput<typeof results>> {
  const folder = mkdtempSync(path.join(tmpdir(), 'walferry-faults-'));
  const file = path.join(folder, 'results.json');
  const vitest = path.join(PACKAGE, 'node_modules/vitest/vitest.mjs');
  const words = ['run', '--project', 'e2e', tests, '--reporter=json', `--outputFile=${file}`];
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
