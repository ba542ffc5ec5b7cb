/** Temporal's status of a run, and whether such a run is still open. */
import { expect, test } from 'vitest';
import { isOpen, type RunStatus } from '../../scripts/watch/sample.ts';

const CLOSED: readonly RunStatus[] = [
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TERMINATED',
  'TIMED_OUT',
  'CONTINUED_AS_NEW',
];
const OPEN: readonly RunStatus[] = ['RUNNING', 'PAUSED', 'UNSPECIFIED', 'UNKNOWN'];

test('a run is open unless its status says that it ended: paused runs and unknown statuses count as open', () => {
  expect(CLOSED.filter((status) => isOpen(status))).toEqual([]);
  expect(OPEN.filter((status) => !isOpen(status))).toEqual([]);
});
