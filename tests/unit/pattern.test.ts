/** Patterns for pg_dump: they match every table to exclude, and nothing else. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TableName } from '../../postgres/catalog/selection.ts';
import { coveringPatterns, exactPattern } from '../../postgres/dump/dump-pattern.ts';

/**
 * As PostgreSQL's programs read a pattern: quoted characters are literal, `*` is any run, bars and parentheses are
 * choices.
 */
function fits(pattern: string, { schema, name }: TableName): boolean {
  let expression = '';
  let quoted = false;
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === '"' && quoted && pattern.charAt(at + 1) === '"') {
      expression += '"';
      at += 1;
    } else if (character === '"') quoted = !quoted;
    else if (quoted) expression += character.replace(/[\\^$.|?*+()[\]{}]/, '\\$&');
    else if (character === '.') expression += '\u0000';
    else expression += character === '*' ? '[^\u0000]*' : character;
  }
  return new RegExp(`^${expression}$`, 's').test(`${schema}\u0000${name}`);
}

const word = fc.string({
  unit: fc.constantFrom('a', 'b', '"', '.', '*', '|', ' '),
  minLength: 1,
  maxLength: 4,
});

test('every name is covered, and none of the others', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.record({ schema: word, name: word, other: fc.boolean() }), {
        selector: ({ schema, name }) => `${schema}\n${name}`,
        maxLength: 40,
      }),
      (relations) => {
        const patterns = coveringPatterns(
          relations.filter(({ other }) => !other),
          relations.filter(({ other }) => other),
        );
        for (const relation of relations) {
          expect(patterns.some((pattern) => fits(pattern, relation))).toBe(!relation.other);
        }
      },
    ),
  );
});

test('a hundred thousand tables need few patterns, alone, with views, and with a schema for each tenant', () => {
  const name = (i: number) => ({ schema: 'public', name: `t_${i}` });
  const many = Array.from({ length: 100_000 }, (_, i) => name(i));
  expect(coveringPatterns(many, [])).toEqual(['*.*']);
  const views = Array.from({ length: 1_000 }, (_, i) => ({ schema: 'public', name: `v_${i}` }));
  expect(coveringPatterns(many, views)).toEqual(['"public"."t"*']);
  const tenants = Array.from({ length: 10_000 }, (_, i) => `tenant_${i}`);
  const tables = tenants.flatMap((schema) =>
    ['item', 'orders'].map((one) => ({ schema, name: one })),
  );
  const reports = tenants.map((schema) => ({ schema, name: 'report' }));
  const patterns = coveringPatterns(tables, reports);
  expect(patterns.length).toBeLessThanOrEqual(200);
  expect(Math.max(...patterns.map((one) => one.length))).toBeLessThan(10_000);
});

test('an exact pattern matches only its table', () => {
  const table = { schema: 'a.b', name: 'c"*' };
  expect(fits(exactPattern(table), table)).toBe(true);
  expect(fits(exactPattern(table), { schema: 'a.b', name: 'c"d' })).toBe(false);
});
