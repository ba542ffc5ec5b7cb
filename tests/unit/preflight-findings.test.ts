/**
 * A check gives every code of the catalogue, in each of its levels, for exactly the facts that it is about. A code
 * without a case in tests/support/finding-cases fails the last test.
 */
import { expect, it } from 'vitest';
import { catalogue } from '../../postgres/preflight/checks.ts';
import { noteFindings, renderFindings } from '../../contract/finding.ts';
import { findings } from '../support/preflight-facts.ts';
import { CASES } from '../support/finding-cases/cases.ts';
import { GIGABYTES, WRITTEN, wal } from '../support/finding-cases/parts.ts';

it('facts of a ready pair give no finding', () => {
  expect(findings()).toEqual([]);
});

it.each(CASES)('%s (%s) is the only finding that its facts give', (code, level, changes) => {
  // Only an older target reads "char" wrongly, and that it is older is a separate finding.
  const extra = code === 'char-byte' ? 'target-older' : null;
  const found = findings(changes).filter((one) => one.code !== extra);
  expect(found.map((one) => [one.code, one.level])).toEqual([[code, level]]);
  // A sentence without its full stop (the texts are joined), and an action.
  expect(found[0]?.message).toMatch(/^\S.*[^.]$/s);
  expect(found[0]?.action.length).toBeGreaterThan(10);
});

/**
 * Every list as long as in a database with very many objects, each with a different name of maximum length.
 */
function swell<T>(value: T, many: number): T;
function swell(value: unknown, many: number): unknown {
  if (Array.isArray(value)) {
    const given: readonly unknown[] = value;
    if (given.length === 0) return given;
    return Array.from({ length: Math.max(many, given.length) }, (_, i) =>
      i < given.length ? given[i] : renamed(given[i % given.length], i),
    );
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      key,
      // Facts of a single object stay unchanged.
      OF_ONE.has(key) ? inner : swell(inner, many),
    ]),
  );
}
const OF_ONE = new Set([
  'columns',
  'key',
  'indexes',
  'programs',
  'failures',
  'input',
  'plugin',
  'ignored',
]);

function renamed(one: unknown, i: number): unknown {
  if (typeof one === 'string') return `${one}_${'n'.repeat(50)}_${i}`;
  if (typeof one !== 'object' || one === null) return one;
  if (Object.getPrototypeOf(one) !== Object.prototype) return one;
  return Object.fromEntries(
    Object.entries(one).map(([key, value]: [string, unknown]) => [
      key,
      NAMES.has(key) && typeof value === 'string' ? `${value}_${'n'.repeat(50)}_${i}` : value,
    ]),
  );
}
const NAMES = new Set(['name', 'table', 'member', 'schema', 'column', 'object', 'workflowId']);

it('no finding grows with the number of its objects, nor does the payload of all findings', () => {
  const large = CASES.flatMap(([code, , changes]) => {
    const found = findings(swell(changes, 1_000));
    const sizes = found.map(({ message, action }) => message.length + action.length);
    const text = Buffer.byteLength(renderFindings(found) + JSON.stringify(noteFindings(found)));
    const most = Math.max(0, ...sizes);
    return most > 30_000 || text > 60_000
      ? [`${code}: ${most} of ${found.length}, ${text} bytes`]
      : [];
  });
  expect(large).toEqual([]);
});

it('a large copy reports the WAL and the disk that SQL cannot see', () => {
  const found = findings(wal({ written: WRITTEN }, { relations: GIGABYTES }));
  expect(found.map(({ code }) => code)).toEqual(['wal-expected', 'target-disk']);
  expect(found[0]?.message).toContain('977 kB/s, the average since the last statistics reset');
  expect(found[0]?.message).toContain('5.0 GB in 89 min to 25 GB in 7.5 h');
  expect(found[1]?.message).toContain('500 GB');
});

it('every code of the catalogue, in each of its levels, has a case', () => {
  const cases = new Set(CASES.map(([code, level]) => `${code} ${level}`));
  for (const code of ['wal-expected', 'target-disk']) cases.add(`${code} note`);
  const expected = catalogue().flatMap(({ code, levels }) => levels.map((one) => `${code} ${one}`));
  expect([...cases].sort()).toEqual(expected.sort());
});
