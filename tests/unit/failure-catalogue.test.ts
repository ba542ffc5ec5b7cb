import { describe, expect, it } from 'vitest';
import { catalogue } from '../../postgres/preflight/checks.ts';
import { CASES } from '../support/finding-cases/cases.ts';
import { GIGABYTES } from '../support/finding-cases/parts.ts';
import { findings } from '../support/preflight-facts.ts';
import { FAILURES, isFailureCode } from '../../contract/failure.ts';

describe('failure catalogue', () => {
  it.each(Object.entries(FAILURES))('%s says what it means and what to do', (code, entry) => {
    expect(code).toMatch(/^[A-Z][A-Za-z]+$/);
    expect(entry.meaning).toMatch(/\.$/);
    expect(entry.action.length).toBeGreaterThan(5);
  });

  it('knows its own codes and no others', () => {
    expect(isFailureCode('SnapshotLost')).toBe(true);
    expect(isFailureCode('toString')).toBe(false);
    expect(isFailureCode(7)).toBe(false);
  });

  it('lets the copy retry only what the next pass can settle', () => {
    const settled = Object.entries(FAILURES).filter(([, { handling }]) => handling === 'pass');
    expect(settled.map(([code]) => code)).toEqual(['SnapshotLost', 'TableRewritten', 'Resync']);
  });
});

/**
 * docs/errors.md is these tables; `npx vitest run -u` rewrites it after a change of a catalogue.
 */
it('the documentation lists every code of both catalogues', async () => {
  const handling = {
    timed: 'retried automatically',
    operator: 'waits for the operator (before the snapshot: the migration fails)',
    pass: 'settled by the next pass',
    never: 'the migration ends',
  };
  // A cutover waits for no one: its caller gets the reason.
  const inCutover: Readonly<Record<string, string>> = {
    NotEqual: 'the update `cutover` fails, streaming continues',
    TargetRewound: 'the update `cutover` fails, streaming continues',
    StillWriting: 'the update `cutover` fails, streaming continues',
    CutoverRepeated: 'the update `cutover` fails, streaming continues',
    Cancelled: 'the update `cutover` fails, the stream is paused',
  };
  const rows = Object.entries(FAILURES).map(
    ([code, entry]) =>
      `| \`${code}\` | ${entry.meaning} | ${inCutover[code] ?? handling[entry.handling]} | ${entry.action.replaceAll('|', '\\|')} |`,
  );
  const page = [
    '# Errors',
    '',
    'Every failure carries one of these codes as its type in the Web UI and in `progress`.',
    'Messages name tables, LSNs and SQLSTATEs, never row values. An update that is not allowed now fails with type `Refused`, one',
    'whose migration has ended with `Ended`; their messages say why.',
    '',
    '| code | what it means | what walferry does | what you do |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    '## Findings of preflight',
    '',
    'Shown together by `npm run preflight`, in the failure `Preflight` and in Current Details, each with the names of its',
    'objects and what to do. An error refuses the migration before anything is changed; [fidelity.md](fidelity.md#refused-by-preflight)',
    'says why. Warnings and notes stay visible while the migration runs.',
    '',
    '| code | level | what it means | what to do (an example) |',
    '| --- | --- | --- | --- |',
    ...catalogue().map(
      ({ code, levels, meaning }) =>
        `| \`${code}\` | ${levels.join(' or ')} | ${meaning} | ${exampleOf(code).replaceAll('|', '\\|')} |`,
    ),
    '',
  ].join('\n');
  await expect(page).toMatchFileSnapshot('../../docs/errors.md');
});

/** What a finding with this code advises, for the facts of its first case. */
function exampleOf(code: string): string {
  const [, , changes] = CASES.find(([one]) => one === code) ?? [];
  const found = findings(changes ?? { source: { relations: GIGABYTES } });
  const [finding] = found.filter((one) => one.code === code);
  if (!finding) throw new Error(`no case gives ${code}`);
  return finding.action;
}
