/** docs/reference/errors.md lists every code of the failure catalogue. */
import { test } from 'vitest';
import { FAILURES } from '../../contract/failure-catalogue.ts';
import { expectPage, generatedBy, table } from './page.ts';

const HANDLING = {
  timed: 'retried automatically',
  operator: 'waits for the operator (before the snapshot: the migration fails)',
  pass: 'settled by the next pass',
  never: 'the migration ends',
};
/** A cutover waits for no one: its caller gets the reason. */
const IN_CUTOVER: Readonly<Record<string, string>> = {
  NotEqual: 'the update `cutover` fails, streaming continues',
  TargetRewound: 'the update `cutover` fails, streaming continues',
  StillWriting: 'the update `cutover` fails, streaming continues',
  NotReady: 'the update `cutover` fails, streaming continues',
  FenceRefused: 'the update `cutover` fails, streaming continues',
  WriterRemains: 'the update `cutover` fails, streaming continues',
  DowntimeTooLong: 'the update `cutover` fails, streaming continues',
  AlreadySwitched: 'the migration completes',
  CutoverRepeated: 'the update `cutover` fails, streaming continues',
  Cancelled: 'the update `cutover` fails, the stream is paused',
};

test('the page lists every error code with its handling and action', async () => {
  const rows = Object.entries(FAILURES).map(([code, { meaning, handling, action }]) => [
    `\`${code}\``,
    meaning,
    IN_CUTOVER[code] ?? HANDLING[handling],
    action,
  ]);
  await expectPage('errors.md', [
    '# Errors',
    '',
    generatedBy('errors-page.test.ts'),
    '',
    'Look up an error code here: every failure carries one as its type in the Web UI and in `progress`.',
    'Messages name tables, LSNs and SQLSTATEs, never row values. An update that is not allowed now fails with type',
    '`Refused`, one whose migration has ended with `Ended`; their messages say why ([updates](updates.md)).',
    'The [runbook](../how-to/runbook/README.md) goes through the most frequent failures step by step.',
    '',
    ...table(['code', 'what it means', 'what walferry does', 'what you do'], rows),
  ]);
});
