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
    'streamed. They are measured two seconds after the beginning of a lease and every two minutes, never with the change',
    'of a lease. `cutover` and `rehearse` compare definitions and measure again before they change anything. What blocks',
    'refuses them with `NotReady`, unless that call accepts it by its code: `--input \'{"accept": ["index-invalid"]}\'`.',
    'The next call has to accept it again. What was accepted stays in `progress` and in the report. `switchback` asks for',
    'no readiness: it only compares definitions, refuses with `definition-differs` what makes the old database wrong, and',
    'accepts that one and `downtime-too-long`. A warning is left to you. Findings of preflight are in',
    '[findings](findings.md).',
    '',
    'The estimated downtime is the age of the longest writing transaction, with a fence of the longest that writes a moved',
    'table; the lag (with a fence two drains, each at most two seconds, because such a cutover catches up before); the time',
    'to check the rows, unless `compare` is `"off"` (as the last rehearsal or cutover measured it; before the first, an',
    'estimate from the number of rows), to set the sequences and to enable the triggers; and one second for proofs, marks,',
    'other checks and the release. ANALYZE, foreign keys and, with a fence, materialized views cost no downtime; without a',
    'fence, what is still to be built or refreshed comes on top. `downtime-too-long` leaves the time to check the rows out: a',
    'cutover with a fence measures it before it stops a write, and ends with `DowntimeTooLong` if the sum is more than is',
    'permitted.',
    '',
    ...table(['code', 'level', 'what it means', 'what to do'], rows),
  ]);
});
