/** Counts what the test runner reported. A run that failed without a failed test (a crash, a hook) must not count as passed. */
import * as v from 'valibot';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const Report = v.object({
  numPassedTests: v.number(),
  numFailedTests: v.number(),
  numPendingTests: v.number(),
  numTodoTests: v.number(),
  testResults: v.array(
    v.object({ status: v.string(), assertionResults: v.array(v.object({ status: v.string() })) }),
  ),
});

/**
 * The counts of a run.
 * @param text vitest's JSON report; may be empty when the run died.
 * @param exitCode of the run; non-zero makes at least one failure.
 */
export function testCounts(text: string, exitCode: number): Counts {
  const report = parse(text);
  if (!report) return { passed: 0, failed: 1, skipped: 0 };
  // A file that could not be loaded has no tests that could fail.
  const brokenFiles = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = report.numFailedTests + brokenFiles;
  return {
    passed: report.numPassedTests,
    failed: exitCode === 0 ? failed : Math.max(failed, 1),
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** `N passed, N failed`, and `, N skipped` when there are any. */
export function summaryLine({ passed, failed, skipped }: Counts): string {
  const line = `${passed} passed, ${failed} failed`;
  return skipped === 0 ? line : `${line}, ${skipped} skipped`;
}

function parse(text: string): v.InferOutput<typeof Report> | undefined {
  try {
    return v.parse(Report, JSON.parse(text));
  } catch {
    return undefined;
  }
}
