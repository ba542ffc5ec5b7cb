/** docs/reference/findings.md lists every code of a preflight finding. */
import { test } from 'vitest';
import { catalogue } from '../../postgres/preflight/checks.ts';
import { CASES } from '../support/finding-cases/cases.ts';
import { GIGABYTES } from '../support/finding-cases/parts.ts';
import { findings } from '../support/preflight-facts.ts';
import { expectPage, generatedBy, table } from './page.ts';

test('the page lists every finding with its levels', async () => {
  const rows = catalogue().map(({ code, levels, meaning }) => [
    `\`${code}\``,
    levels.join(' or '),
    meaning,
    adviceOf(code),
  ]);
  await expectPage('findings.md', [
    '# Findings of preflight',
    '',
    generatedBy('findings-page.test.ts'),
    '',
    'Look up a code of preflight here. `walferry preflight`, the failure `Preflight` and Current Details show the findings',
    'together, each with the names of its objects and what to do. An error refuses the migration before anything is',
    'changed; [refusals](../explanation/refusals.md) says why. Warnings and notes stay visible while the migration runs.',
    'Findings that refuse a cutover are in [readiness](readiness.md).',
    '',
    ...table(['code', 'level', 'what it means', 'what to do (an example)'], rows),
  ]);
});

/** What a finding with this code advises, for the facts of its first case. */
function adviceOf(code: string): string {
  const [, , changes] = CASES.find(([one]) => one === code) ?? [];
  const found = findings(changes ?? { source: { relations: GIGABYTES } });
  const [finding] = found.filter((one) => one.code === code);
  if (!finding) throw new Error(`no case gives ${code}`);
  return finding.action;
}
