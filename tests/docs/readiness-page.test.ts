/** docs/reference/readiness.md lists every finding of readiness. */
import { test } from 'vitest';
import { READINESS } from '../../contract/readiness-finding.ts';
import { expectPage, generatedBy, table } from './page.ts';

test('the page lists every finding of readiness with what it does, means and asks for', async () => {
  const rows = Object.entries(READINESS).map(([code, { level, meaning, action }]) => [
    `\`${code}\``,
    level,
    meaning,
    action,
  ]);
  await expectPage('readiness.md', [
    '# Findings of readiness',
    '',
    generatedBy('readiness-page.test.ts'),
    '',
    'Look up a finding of readiness here: `progress`, Current Details and `walferry watch` show them while changes are',
    'streamed, measured beside a lease and at most once a minute. `cutover` measures again before it changes anything.',
    'What blocks refuses it with `NotReady`, unless it is accepted by its code:',
    '`--input \'{"accept": ["index-invalid"]}\'`. What was accepted stays in `progress`. A warning is left to you.',
    '',
    'The estimated downtime is the age of the longest writing transaction, plus the lag, plus the measured time of the',
    'checks, plus one second. Counting the rows of every table is not part of it.',
    '',
    ...table(['code', 'level', 'what it means', 'what to do'], rows),
  ]);
});
