/** What Temporal calls a run, and whether such a run is still at work. */
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

test('a run is open unless its status says that it ended: one that is paused in Temporal is alive, as is one of a status not known here', () => {
  expect(CLOSED.filter((status) => isOpen(status))).toEqual([]);
  expect(OPEN.filter((status) => !isOpen(status))).toEqual([]);
});
