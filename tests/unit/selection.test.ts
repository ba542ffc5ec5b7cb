/** Patterns of the input, as an operator writes them. */
import { expect, test } from 'vitest';
import {
  compileSelection,
  isSelected,
  literalSchemas,
  takesSchema,
} from '../../postgres/catalog/selection.ts';
import { random } from '../support/load.ts';

const table = (schema: string, name: string) => ({ schema, name });

function selects(include: string[], exclude: string[], schema: string, name: string): boolean {
  return isSelected(compileSelection({ include, exclude }), table(schema, name), []);
}

test('stars and question marks match characters, everything else is literal', () => {
  expect(selects(['*.*'], [], 'app', 'orders')).toBe(true);
  expect(selects(['app.ord*'], [], 'app', 'orders')).toBe(true);
  expect(selects(['app.ord*'], [], 'app', 'border')).toBe(false);
  expect(selects(['app.order?'], [], 'app', 'orders')).toBe(true);
  expect(selects(['app.order?'], [], 'app', 'order')).toBe(false);
  expect(selects(['app.a+b[1]'], [], 'app', 'a+b[1]')).toBe(true);
  expect(selects(['app.a.b'.replace('.b', '_b')], [], 'app', 'aXb')).toBe(false);
  expect(selects(['app.*'], [], 'app', 'two\nlines')).toBe(true);
});

test('patterns of stars and question marks mean what one regular expression would, in names of any characters', () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const next = random(seed);
  const below = (most: number) => Math.floor(next() * most);
  const word = (letters: string, most: number) =>
    Array.from({ length: 1 + below(most) }, () => [...letters][below([...letters].length)]).join(
      '',
    );
  for (let i = 0; i < 5000; i += 1) {
    const pattern = word('ab*?😀', 7);
    const name = word('ab😀\n', 8);
    const wild = pattern.replaceAll('?', '.').replaceAll('*', '.*');
    const expected = new RegExp(`^${wild}$`, 'su').test(name);
    const repeat = JSON.stringify({ seed, pattern, name });
    expect(selects([`app.${pattern}`], [], 'app', name), repeat).toBe(expected);
    expect(selects([`${pattern}.t`], [], name, 't'), repeat).toBe(expected);
  }
});

test('thousands of literal patterns, or one of many stars, do not block the worker that matches its tables', () => {
  const letters = [...'abcdefghijklmnopqrstuvwxyz0123456789_'];
  const pairs = letters.flatMap((a) => letters.map((b) => `${a}${b}`));
  const worst: [string[], number][] = [
    [pairs.map((pair) => `app.${pair}`), 100_000],
    [[`app.${'*a'.repeat(8)}b`], 2],
  ];
  for (const [include, tables] of worst) {
    const matcher = compileSelection({ include, exclude: [] });
    const began = performance.now();
    for (let i = 0; i < tables; i += 1) matcher.includes(table('app', `${'a'.repeat(58)}${i}-`));
    expect(performance.now() - began, include[0]).toBeLessThan(2_000);
  }
});

test('names are exact in case', () => {
  expect(selects(['public.Orders'], [], 'public', 'Orders')).toBe(true);
  expect(selects(['public.Orders'], [], 'public', 'orders')).toBe(false);
});

test('a quoted part is literal, with dots, stars and doubled quotes', () => {
  expect(selects(['"my.app".*'], [], 'my.app', 't')).toBe(true);
  expect(selects(['app."a*"'], [], 'app', 'a*')).toBe(true);
  expect(selects(['app."a*"'], [], 'app', 'ab')).toBe(false);
  expect(selects(['app."say ""hi"""'], [], 'app', 'say "hi"')).toBe(true);
});

test('only a pattern for all of its names selects a whole schema', () => {
  const taken = (include: string[], exclude: string[] = []) =>
    ['app', 'audit', 'x.y'].filter(takesSchema({ include, exclude }));
  expect(taken(['*.*'])).toEqual(['app', 'audit', 'x.y']);
  expect(taken(['a*.*'])).toEqual(['app', 'audit']);
  expect(taken(['app.*', '"x.y".*'])).toEqual(['app', 'x.y']);
  expect(taken(['app.t', 'app.t*', 'app."*"', 'app.?'])).toEqual([]);
  expect(taken(['*.*'], ['audit.*', 'app.t', '*.log*'])).toEqual(['app', 'x.y']);
});

test('exclude takes precedence over include', () => {
  expect(selects(['app.*'], ['app.audit*'], 'app', 'audit_2024')).toBe(false);
  expect(selects(['app.*'], ['*.audit*'], 'app', 'orders')).toBe(true);
});

test('a partition shares its root’s fate', () => {
  const root = table('app', 'events');
  const leaf = table('parts', 'events_2024');
  const included = compileSelection({ include: ['app.events'], exclude: [] });
  expect(isSelected(included, leaf, [root])).toBe(true);
  const excluded = compileSelection({ include: ['*.*'], exclude: ['app.events'] });
  expect(isSelected(excluded, leaf, [root])).toBe(false);
});

test('the schemas of a selection are known unless a wildcard leaves them open', () => {
  expect(literalSchemas({ include: ['app.*', '"x.y".t', 'app.b'], exclude: [] })).toEqual([
    'app',
    'x.y',
  ]);
  expect(literalSchemas({ include: ['app.*', 'a?p.t'], exclude: [] })).toBeNull();
  expect(literalSchemas({ include: ['"a*".t'], exclude: [] })).toEqual(['a*']);
});

test('an invalid pattern is refused', () => {
  expect(() => compileSelection({ include: ['orders'], exclude: [] })).toThrow(RangeError);
});
