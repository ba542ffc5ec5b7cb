/** docs/fidelity.md's section about preflight names every code that refuses, and tests that exist. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { catalogue } from '../../contract/finding-catalogue.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const page = readFileSync(path.join(ROOT, 'docs/fidelity.md'), 'utf8');
const [, section = ''] = /^## Refused by preflight\n([^]*?)(?=^## |$(?![^]))/m.exec(page) ?? [];
const rows = section
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | *\|$/g, '').trim()));

it('every code that refuses stands there once, and no other', () => {
  const named = rows.flatMap(([codes = '']) => [...codes.matchAll(/`([^`]+)`/g)].map(([, c]) => c));
  const refusing = catalogue().filter(({ levels }) => levels.includes('error'));
  expect(named.sort()).toEqual(refusing.map(({ code }) => code).sort());
});

it('every test that it names exists under that title', () => {
  expect(rows.length).toBeGreaterThan(30);
  for (const row of rows) {
    const test = row.at(-1) ?? '';
    if (test === '_findings_') continue;
    const [, file, title = ''] = /^(?:`(\w+)`|unit): (.+)$/.exec(test) ?? [];
    const name = file === undefined ? 'unit/preflight' : `pg/preflight-${file}`;
    const text = readFileSync(path.join(ROOT, `tests/${name}.test.ts`), 'utf8');
    expect(text.replaceAll("\\'", "'"), test).toContain(title);
  }
});
