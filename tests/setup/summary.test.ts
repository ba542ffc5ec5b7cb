/** The last line of `npm test`: a run that fails in any way must not look passed. */
import { expect, test } from 'vitest';
import { summaryLine, testCounts } from '../../scripts/check/summary.ts';

const report = (numbers: object, testResults: object[] = []) =>
  JSON.stringify({
    numPassedTests: 0,
    numFailedTests: 0,
    numPendingTests: 0,
    numTodoTests: 0,
    testResults,
    ...numbers,
  });

test('passed, failed and skipped tests are counted', () => {
  const counts = testCounts(
    report({ numPassedTests: 5, numFailedTests: 2, numPendingTests: 1 }),
    1,
  );
  expect(summaryLine(counts)).toBe('5 passed, 2 failed, 1 skipped');
  expect(summaryLine(testCounts(report({ numPassedTests: 5 }), 0))).toBe('5 passed, 0 failed');
});

test('a file that could not be loaded counts as failed', () => {
  const broken = report({ numPassedTests: 5 }, [{ status: 'failed', assertionResults: [] }]);
  expect(testCounts(broken, 1)).toMatchObject({ passed: 5, failed: 1 });
});

test('a run that ends badly without a failed test counts as failed', () => {
  expect(testCounts(report({ numPassedTests: 5 }), 1)).toMatchObject({ passed: 5, failed: 1 });
});

test('a run that died before it could report counts as failed', () => {
  expect(testCounts('', 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(testCounts('{"numPassedTests":', 0)).toMatchObject({ failed: 1 });
});
