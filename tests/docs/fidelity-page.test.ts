/** docs/reference/fidelity.md lists every case of the fidelity suite with what must happen to it. */
import path from 'node:path';
import { expect, test } from 'vitest';
import type { FidelityCase, Need } from '../support/fidelity/case.ts';
import { readFidelity } from '../support/fidelity/folder.ts';
import { ROOT, expectPage, generatedBy, table } from './page.ts';

/** Its title contains the seed, so that it is different in each run. */
const RANDOM = 'random_value';

const { cases, broken } = readFidelity(path.join(ROOT, 'tests/fidelity'), 1);
const listed = cases.filter(({ name }) => name !== RANDOM);

function needText(need: Need): string {
  if (need.kind === 'extension') return need.name;
  return need.kind === 'wal2json' ? `wal2json ${need.atLeast}` : `${need.kind} ${need.major}`;
}

const setting = ({ input }: FidelityCase): string =>
  Object.keys(input)
    .map((name) => `\`${name}\``)
    .join(', ');

const link = ({ name }: FidelityCase): string => `[\`${name}\`](../../tests/fidelity/${name}.sql)`;

test('every file of the suite is a case', () => {
  expect(broken).toEqual([]);
  expect(listed.length).toBeGreaterThan(80);
});

test('the page lists every case as carried or refused', async () => {
  const carried = listed.filter(({ refused }) => refused === null);
  const refusedCases = listed.filter(({ refused }) => refused !== null);
  await expectPage('fidelity.md', [
    '# Cases of the fidelity suite',
    '',
    generatedBy('fidelity-page.test.ts'),
    '',
    'Every case of `npm run fidelity`: an SQL file whose objects and rows go through real migrations while they change.',
    'Source and target are then compared by every row, every sequence and the catalogs.',
    '[Fidelity](../explanation/fidelity.md) explains by subject what is carried and why something is not;',
    '[the suite](../../tests/fidelity/README.md) says how to write a case.',
    '',
    `\`${RANDOM}\` has no file: it does the same with random values of every type.`,
    '',
    `## Carried: ${carried.length + 1} cases`,
    '',
    'The target is equal to the source at the end. A case is skipped, by name, where a server lacks what it needs.',
    '',
    ...table(
      ['case', 'what arrives', 'needs', 'settings'],
      carried.map((one) => [
        link(one),
        one.title,
        one.needs.map(needText).join(', '),
        setting(one),
      ]),
    ),
    '',
    `## Refused: ${refusedCases.length} cases`,
    '',
    'Preflight refuses the case with this [finding](findings.md) and no other error; nothing is moved.',
    '',
    ...table(
      ['case', 'why', 'finding'],
      refusedCases.map((one) => [link(one), one.title, `\`${one.refused ?? ''}\``]),
    ),
  ]);
});
