/** How far a release sets sequences ahead of the source. */
import { expect, test } from 'vitest';
import { withMargin } from '../../../postgres/cutover/sequence-margin.ts';
import type { Setting } from '../../../postgres/cutover/set-sequences.ts';
import { freshPair } from '../../support/database.ts';

const SEQUENCES = /* sql */ `
  create sequence public.one; create sequence public.cached cache 20; create sequence public.down increment -5 minvalue -100 maxvalue -1;
  create sequence public.short maxvalue 105; create sequence public.steps increment 10`;

const setting = (name: string, value: string, called = true): Setting => ({
  to: {
    ...{ schema: 'public', name, table: null, table_schema: null, column: null },
    ...{ users: [], sql: `public.${name}` },
  },
  value,
  called,
});

const CASES = [
  { name: 'one', value: '7', by: { unset: '8', five: '12' } },
  { name: 'cached', value: '40', by: { unset: '60', five: '45' } },
  { name: 'down', value: '-50', by: { unset: '-55', five: '-75' } },
  { name: 'steps', value: '11', by: { unset: '21', five: '61' } },
  // Never past the end of its range.
  { name: 'short', value: '103', by: { unset: '104', five: '105' } },
  // Outside of the range of the target's sequence: setting it must fail, not be bent.
  { name: 'short', value: '200', by: { unset: '200', five: '200' } },
] as const;

test('each sequence is set ahead by its cache, or by the margin of the input, in its own direction and within its range', async () => {
  await using db = await freshPair();
  await db.targetClient.query(SEQUENCES);
  const settings = CASES.map(({ name, value }) => setting(name, value));
  const values = async (margin: number | null) =>
    (await withMargin(db.targetClient, settings, margin)).map(({ value }) => value);
  expect(await values(null)).toEqual(CASES.map(({ by }) => by.unset));
  expect(await values(5)).toEqual(CASES.map(({ by }) => by.five));
  expect(await values(0)).toEqual(CASES.map(({ value }) => value));
  const unused = [setting('one', '1', false)];
  expect(await withMargin(db.targetClient, unused, 5)).toEqual(unused);
});
