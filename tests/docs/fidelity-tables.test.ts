/** The tables of fidelity and refusals name every code that refuses, and only tests that exist. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { catalogue } from '../../postgres/preflight/checks.ts';
import { ROOT } from './page.ts';

const PAGES = [
  'refusals',
  'fidelity',
  'fidelity-values',
  'fidelity-objects',
  'fidelity-ddl',
] as const;

/** What these names mean on each page, as it explains. */
const SHORT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'fidelity-objects': {
    objects: 'tests/pg/schema/objects.test.ts',
    migration: 'tests/e2e/objects.test.ts',
  },
  'fidelity-ddl': {
    ddl: 'tests/pg/drift/stream-ddl.test.ts',
    tables: 'tests/pg/stream/stream-tables.test.ts',
    types: 'tests/pg/drift/stream-type.test.ts',
    labels: 'tests/pg/drift/stream-label.test.ts',
    migration: 'tests/e2e/ddl.test.ts',
    definitions: 'tests/e2e/definitions.test.ts',
  },
};
/** Files that contain further titles of a test file. */
const TITLES: Readonly<Record<string, string>> = {
  'tests/pg/schema/objects.test.ts': 'tests/pg/schema/object-catalog.ts',
};
const ROOMS = readdirSync(path.join(ROOT, 'tests/pg'));
/** A case without a file: tests/support/fidelity/random.ts generates it. */
const MADE = 'random_value';

interface Row {
  readonly page: string;
  /** The first cell: the topic. */
  readonly about: string;
  /** The last cell: names of tests. */
  readonly tests: string;
}

/** The rows of all tables that have a column of tests or one that names what shows it. */
function readRows(page: string): Row[] {
  const text = readFileSync(path.join(ROOT, `docs/explanation/${page}.md`), 'utf8');
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| -+:? \|/.test(line))
    .map((line) => line.split(/(?<=^|\s)\|(?=\s|$)/).map((cell) => cell.trim()))
    .map((cells) => ({ page, about: cells[1] ?? '', tests: cells.at(-2) ?? '' }));
}

const rows = PAGES.flatMap(readRows);
const refused = rows.filter(({ page, about }) => page === 'refusals' && about.startsWith('`'));
/** All other tables; their last column names tests. */
const others = rows.filter(({ page }) => page !== 'refusals');
/** Names in the cell: `tests/….ts`, a case, or a short name; settings and codes are written otherwise. */
const namesIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)]
    .map(([, name = '']) => name)
    .filter((name) => !/[A-Z=]/.test(name));

/** The file that a name refers to; undefined if there is none. */
function fileOf(page: string, name: string): string | undefined {
  const candidates = [
    SHORT[page]?.[name],
    name === MADE ? 'tests/support/fidelity/random.ts' : undefined,
    name.includes('/') ? name : undefined,
    `tests/fidelity/${name}.sql`,
    ...ROOMS.map((room) => `tests/pg/${room}/${name}.test.ts`),
  ];
  return candidates.find((file) => file !== undefined && isThere(file));
}

const preflightFile = (name: string): string =>
  name.includes('/') ? name : `tests/pg/preflight/preflight-${name}.test.ts`;

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
    const [, file, title] = /^(?:`([\w/.-]+)`|unit): (.+)$/.exec(tests) ?? [];
    const name = file === undefined ? 'tests/unit/preflight.test.ts' : preflightFile(file);
    const text = readFileSync(path.join(ROOT, name), 'utf8');
    expect(text.replaceAll("\\'", "'"), tests).toContain(title ?? 'a title after the file');
  }
});

it('every case and every test file that a table names exists', () => {
  const named = others.flatMap(({ page, about, tests }) =>
    namesIn(tests).map((name) => ({ page, about, name })),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ page, name }) => fileOf(page, name) === undefined)).toEqual([]);
  // No check would see a path outside the quotes.
  expect(others.filter(({ tests }) => /(?<!`)tests\//.test(tests))).toEqual([]);
});

it('a title that follows a file’s name is one of its tests', () => {
  const titled = others.flatMap(({ page, tests }) =>
    [...tests.matchAll(/`([\w-]+)`: ([^;`]+)/g)].map(([, name = '', title = '']) => ({
      file: fileOf(page, name) ?? name,
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
