/** The worker's lines on a terminal. */
import { expect, test } from 'vitest';
import { pretty } from '../../workers/logger.ts';

test('a line shows time, level, message and the informative fields', () => {
  const line = JSON.stringify({
    ...{ level: 40, time: '2026-11-21T09:41:07.123Z', msg: 'phase', runId: 'x' },
    ...{ from: 'schema', to: 'snapshot', workflowId: 'orders', rows: 3 },
  });
  expect(pretty(line)).toBe(
    '09:41:07 WARN  phase from=schema to=snapshot workflowId=orders rows=3',
  );
});
