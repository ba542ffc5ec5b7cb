/** Texts by names of a database. */
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { namedTexts } from '../../postgres/store/named-text.ts';

test('every name that a column may have is kept, also those of JavaScript objects', () => {
  const names = ['__proto__', 'prototype', 'constructor', 'toString', '', 'id'];
  const stored = JSON.stringify(Object.fromEntries(names.map((name) => [name, `of ${name}`])));
  const read = v.parse(namedTexts, JSON.parse(stored));
  expect(names.map((name) => read[name])).toEqual(names.map((name) => `of ${name}`));
});

test.each([[null], [[]], ['text'], [{ a: 1 }]])('%j is refused', (value) => {
  expect(v.is(namedTexts, value)).toBe(false);
});
