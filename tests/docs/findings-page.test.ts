/** docs/reference/findings.md lists every code of a preflight finding. */
import { test } from 'vitest';
import { catalogue } from '../../contract/finding-catalogue.ts';
import { expectPage, generatedBy, table } from './page.ts';

test('the page lists every finding with its levels', async () => {
  const rows = catalogue().map(({ code, levels, meaning }) => [
    `\`${code}\``,
    levels.join(' or '),
    meaning,
  ]);
  await expectPage('findings.md', [
    '# Findings of preflight',
    '',
    generatedBy('findings-page.test.ts'),
    '',
    'Look up a code of preflight here. `npm run preflight`, the failure `Preflight` and Current Details show the findings',
    'together, each with the names of its objects and what to do. An error refuses the migration before anything is',
    'changed; [refusals](../explanation/refusals.md) says why. Warnings and notes stay visible while the migration runs.',
    '',
    ...table(['code', 'level', 'what it means'], rows),
  ]);
});
