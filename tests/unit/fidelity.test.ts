/** docs/fidelity.md names every code that refuses and every case of the fidelity suite, and only tests that exist. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { catalogue } from '../../postgres/preflight/checks.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const page = readFileSync(path.join(ROOT, 'docs/fidelity.md'), 'utf8');

/** What these names mean in each section, as the page explains. */
const SHORT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Objects: { objects: 'tests/pg/objects.test.ts', migration: 'tests/e2e/objects.test.ts' },
  Statements: {
    ddl: 'tests/pg/stream-ddl.test.ts',
    tables: 'tests/pg/stream-tables.test.ts',
    types: 'tests/pg/stream-type.test.ts',
    labels: 'tests/pg/stream-label.test.ts',
    migration: 'tests/e2e/ddl.test.ts',
  },
};
/** Files that contain further titles of a test file. */
const TITLES: Readonly<Record<string, string>> = {
  'tests/pg/objects.test.ts': 'tests/pg/object-catalog.ts',
};
/** A case without a file: tests/support/fidelity/random.ts generates it. */
const MADE = 'random_value';

interface Row {
  readonly section: string;
  /** The first cell: the topic. */
  readonly about: string;
  /** The last cell: names of tests. */
  readonly tests: string;
}

function readRows(): Row[] {
  return page.split(/^## /m).flatMap((part) => {
    const section = part.slice(0, part.indexOf('\n'));
    return part
      .split('\n')
      .filter((line) => line.startsWith('| ') && !/^\| -+ \|/.test(line))
      .map((line) => line.split(/(?<=^|\s)\|(?=\s|$)/).map((cell) => cell.trim()))
      .map((cells) => ({ section, about: cells[1] ?? '', tests: cells.at(-2) ?? '' }));
  });
}

const rows = readRows();
const refused = rows.filter(
  ({ section, about }) => section === 'Refused by preflight' && about.startsWith('`'),
);
/** All other tables; their last column names tests. */
const others = rows.filter(({ section }) => section !== 'Refused by preflight');
/** Names in the cell: `tests/….ts`, a case, or a short name; settings and codes are written otherwise. */
const namesIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)]
    .map(([, name = '']) => name)
    .filter((name) => !/[A-Z=]/.test(name));

/** The file that a name refers to; undefined if there is none. */
function fileOf(section: string, name: string): string | undefined {
  const candidates = [
    SHORT[section]?.[name],
    name === MADE ? 'tests/support/fidelity/random.ts' : undefined,
    name.includes('/') ? name : undefined,
    `tests/fidelity/${name}.sql`,
    `tests/pg/${name}.test.ts`,
  ];
  return candidates.find((file) => file !== undefined && isThere(file));
}

function isThere(file: string): boolean {
  if (!file.includes('*')) return existsSync(path.join(ROOT, file));
  const [before = '', after = ''] = path.basename(file).split('*');
  return readdirSync(path.join(ROOT, path.dirname(file))).some(
    (name) => name.startsWith(before) && name.endsWith(after),
  );
}

it('every code that refuses is listed once, and no other', () => {
  const named = refused.flatMap(({ about }) => namesIn(about));
  const refusing = catalogue().filter(({ levels }) => levels.includes('error'));
  expect(named.sort()).toEqual(refusing.map(({ code }) => code).sort());
});

it('every test of preflight that it names exists under that title', () => {
  expect(refused.length).toBeGreaterThan(30);
  for (const { tests } of refused) {
    if (tests === '_findings_') continue;
    const [, file, title = ''] = /^(?:`([\w-]+)`|unit): (.+)$/.exec(tests) ?? [];
    const name = file === undefined ? 'unit/preflight' : `pg/preflight-${file}`;
    const text = readFileSync(path.join(ROOT, `tests/${name}.test.ts`), 'utf8');
    expect(text.replaceAll("\\'", "'"), tests).toContain(title);
  }
});

it('every case and every test file that a table names exists', () => {
  const named = others.flatMap(({ section, about, tests }) =>
    namesIn(tests).map((name) => ({ section, about, name })),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ section, name }) => fileOf(section, name) === undefined)).toEqual([]);
  // No check would see a path outside the quotes.
  expect(others.filter(({ tests }) => /(?<!`)tests\//.test(tests))).toEqual([]);
});

it('a title that follows a file’s name is one of its tests', () => {
  const titled = others.flatMap(({ section, tests }) =>
    [...tests.matchAll(/`([\w-]+)`: ([^;`]+)/g)].map(([, name = '', title = '']) => ({
      file: fileOf(section, name) ?? name,
      title: title.trim(),
    })),
  );
  expect(titled.length).toBeGreaterThan(15);
  for (const { file, title } of titled) {
    const text = [file, TITLES[file] ?? file]
      .map((name) => readFileSync(path.join(ROOT, name), 'utf8'))
      .join('');
    expect(text.includes(title), `${file}: ${title}`).toBe(true);
  }
});

it('every case of the fidelity suite is named', () => {
  const cases = readdirSync(path.join(ROOT, 'tests/fidelity'))
    .filter((file) => file.endsWith('.sql'))
    .map((file) => path.basename(file, '.sql'));
  expect(cases.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
