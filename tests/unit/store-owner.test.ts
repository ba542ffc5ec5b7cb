/** `postgres/store` owns the control schema: whoever reads that folder has read every statement that can change it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { VERSIONS } from '../../postgres/store/versions/version-list.ts';
const CHECKOUT = path.resolve(import.meta.dirname, '../..');

const OWNER = 'postgres/store/';

const TABLES = VERSIONS.flatMap(({ sql }) =>
  [...sql.matchAll(/create table walferry\.(\w+)/g)].map(([, name]) => name),
);
/** A table of the control schema where a statement names one; as the object of a failure it may be named anywhere. */
const STATEMENT = new RegExp(
  `\\b(?:from|join|update|into|table|only|exists|truncate|lock|regclass\\(\\s*')\\s*walferry\\.(?:${TABLES.join('|')})\\b`,
  'i',
);
const COMMENT = /\/\*(?! sql \*\/)[\s\S]*?\*\/|^\s*\/\/.*$/gm;

const files = execFileSync(
  'git',
  ['ls-files', '-z', 'postgres', 'activities', 'workers', 'workflows', 'scripts'],
  { cwd: CHECKOUT, encoding: 'utf8' },
)
  .split('\0')
  .filter((file) => file.endsWith('.ts'));

function statementIn(file: string): string | undefined {
  const code = readFileSync(path.join(CHECKOUT, file), 'utf8').replaceAll(COMMENT, '');
  return STATEMENT.exec(code)?.[0];
}

test('no file outside of postgres/store contains a statement on the control schema', () => {
  const found = files
    .filter((file) => !file.startsWith(OWNER))
    .flatMap((file) => statementIn(file)?.concat(` in ${file}`) ?? []);
  expect(found).toEqual([]);
  // That the search finds statements at all: nearly every file of the owner has one.
  const own = files.filter((file) => file.startsWith(OWNER));
  expect(own.filter((file) => statementIn(file) !== undefined).length).toBeGreaterThan(
    own.length / 2,
  );
});

test('the versions of the control schema are numbered from 1, and each is greater than the one before', () => {
  const numbers = VERSIONS.map(({ number }) => number);
  expect(numbers[0]).toBe(1);
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
});
