/** The list of preflight's checks, from which their documentation and the types of the facts are derived. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { CHECKS } from '../../postgres/preflight/checks.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../postgres/preflight/checks');

it('every module of a check has one export, and all of them are in the list', () => {
  const files = readdirSync(FOLDER);
  const exported = files.map((name) =>
    readFileSync(path.join(FOLDER, name), 'utf8').match(/^export .*/gm),
  );
  expect(exported.map((lines) => lines?.map((line) => line.replace(/\w+ =/, 'NAME =')))).toEqual(
    files.map(() => ['export const NAME = defineCheck({']),
  );
  expect(new Set(CHECKS).size).toBe(files.length);
});

it('a name of a fact stands for one reader, whichever check reads it', () => {
  for (const side of ['source', 'target'] as const) {
    const readers = new Map<string, unknown>();
    for (const check of CHECKS) {
      for (const [name, reader] of Object.entries({ ...check.both, ...check[side] })) {
        expect(readers.get(name) ?? reader, `${side}.${name}`).toBe(reader);
        readers.set(name, reader);
      }
    }
    expect(readers.size).toBeGreaterThan(20);
  }
});

it('a code that two checks raise has one documentation', () => {
  const entries = new Map<string, unknown>();
  for (const { codes } of CHECKS) {
    for (const [code, entry] of Object.entries(codes)) {
      expect(entries.get(code) ?? entry, code).toBe(entry);
      entries.set(code, entry);
    }
  }
});
