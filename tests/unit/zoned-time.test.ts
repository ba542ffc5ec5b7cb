/** Times that an operator writes mean one moment, or are refused. */
import { describe, expect, it } from 'vitest';
import { parseCutoverOptions } from '../../contract/cutover-request.ts';
import { windowInUtc } from '../../contract/window.ts';
import { hasOffset, instantOf, isZonedTime } from '../../contract/zoned-time.ts';
import { drawn } from '../support/random/pick.ts';

const HOUR_MS = 3_600_000;
const utc = (text: string): string => new Date(instantOf(text)).toISOString();

describe('a time with its zone', () => {
  it.each([
    ['2026-11-28T01:00+01:00', '2026-11-28T00:00:00.000Z'],
    ['2026-11-28 01:00:30 -05:30', '2026-11-28T06:30:30.000Z'],
    ['2026-11-28T01:00Z', '2026-11-28T01:00:00.000Z'],
    ['2026-11-28 01:00 UTC', '2026-11-28T01:00:00.000Z'],
    ['2026-11-28T01:00 Europe/Berlin', '2026-11-28T00:00:00.000Z'],
    ['2026-07-28T01:00 Europe/Berlin', '2026-07-27T23:00:00.000Z'],
    ['2026-07-28T01:00 America/Argentina/Buenos_Aires', '2026-07-28T04:00:00.000Z'],
    ['2026-01-10T01:00 Australia/Lord_Howe', '2026-01-09T14:00:00.000Z'],
    ['2028-02-29T12:00 Asia/Kathmandu', '2028-02-29T06:15:00.000Z'],
  ])('%s is %s', (text, moment) => {
    expect(isZonedTime(text)).toBe(true);
    expect(utc(text)).toBe(moment);
  });

  it.each([
    ['2026-11-28T01:00', 'without a zone'],
    ['2026-11-28', 'without a time'],
    ['2026-11-28T01:00 CET', 'an abbreviation'],
    ['2026-11-28T01:00 IST', 'an abbreviation of three zones'],
    ['2026-02-30T01:00Z', 'a day that does not exist'],
    ['2026-11-28T24:00Z', 'an hour that does not exist'],
    ['2026-11-28T01:00+15:00', 'an offset that no zone has'],
    ['28.11.2026 01:00 Europe/Berlin', 'another order'],
    ['tomorrow', 'a word'],
  ])('%s is refused: %s', (text) => {
    expect(isZonedTime(text)).toBe(false);
    expect(() => instantOf(text)).toThrow('must be a time with its zone');
  });

  it.each([
    ['2026-10-25T02:30 Europe/Berlin', /happens twice in Europe\/Berlin/],
    ['2026-03-29T02:30 Europe/Berlin', /does not exist in Europe\/Berlin/],
    ['2026-04-05T01:45 Australia/Lord_Howe', /happens twice/],
    ['2026-11-28T01:00 Etc/GMT+1', /means the opposite of what it looks like/],
    ['2026-11-28T01:00 Europe/Atlantis', /names no time zone that is known here/],
  ])('%s is refused, because it could mean something else', (text, words) => {
    expect(() => instantOf(text)).toThrow(words);
  });

  it('is the moment that clocks of that zone showed it, for random moments and zones', () => {
    const pick = drawn();
    const zones = Intl.supportedValuesOf('timeZone').filter((zone) => zone.includes('/'));
    const begin = Date.UTC(2024, 0, 1);
    let twice = 0;
    for (let round = 0; round < 2_000; round += 1) {
      const zone = pick.one(zones);
      const at = begin + pick.below(6 * 365 * 24 * 60) * 60_000;
      // Another formatter than the code's: Swedish writes ISO 8601.
      const wall = new Intl.DateTimeFormat('sv-SE', {
        ...{ timeZone: zone, dateStyle: 'short', timeStyle: 'short' },
      }).format(at);
      try {
        expect(instantOf(`${wall} ${zone}`), `${wall} ${zone}`).toBe(at);
      } catch (error) {
        // Of the two moments one was drawn, so it exists.
        if (!(error instanceof Error) || !error.message.includes('happens twice')) throw error;
        twice += 1;
      }
    }
    expect(twice).toBeLessThan(40);
  });
});

describe('a window', () => {
  it('is kept in UTC, whatever it was written in', () => {
    const window = { from: '2026-11-28T01:00 Europe/Berlin', to: '2026-11-27T21:00-05:00' };
    expect(windowInUtc(window)).toEqual({
      from: '2026-11-28T00:00:00.000Z',
      to: '2026-11-28T02:00:00.000Z',
    });
  });

  it('ends after it begins, and names the field that is wrong', () => {
    const from = '2026-11-28T01:00Z';
    expect(() => windowInUtc({ from, to: from })).toThrow('"window.to" must be later than');
    const skipped = '2026-03-29T02:30 Europe/Berlin';
    expect(() => windowInUtc({ from, to: skipped })).toThrow(/^"window.to" does not exist/);
  });

  it('in an update needs offsets: workflow code looks no zone up', () => {
    const [from, to] = ['2026-11-28T01:00 Europe/Berlin', '2026-11-28T03:00+01:00'];
    expect([hasOffset(from), hasOffset(to)]).toEqual([false, true]);
    expect(parseCutoverOptions({ window: { from, to } })).toMatchObject({
      ok: false,
      message: expect.stringContaining('need an offset') as unknown,
    });
    const parsed = parseCutoverOptions({
      compare: 'off',
      window: { from: '2026-11-28T01:00Z', to },
    });
    expect(parsed).toEqual({
      ok: true,
      options: {
        compare: 'off',
        window: { from: '2026-11-28T01:00:00.000Z', to: '2026-11-28T02:00:00.000Z' },
      },
    });
  });

  it.each([
    [{ window: { from: '2026-11-28T02:00Z', to: '2026-11-28T01:00Z' } }, /must be later/],
    [{ window: {} }, /omit the input of cutover/],
    [{ compare: 'roughly' }, /omit the input of cutover/],
    [{ fast: true }, /omit the input of cutover/],
    [['off'], /omit the input of cutover/],
  ])('or another option that is wrong is refused: %j', (raw, message) => {
    expect(parseCutoverOptions(raw)).toMatchObject({
      ok: false,
      message: expect.stringMatching(message) as unknown,
    });
  });

  it('lasts as long as the clocks say when it spans a change of them', () => {
    const { from, to } = windowInUtc({
      from: '2026-10-25T01:00 Europe/Berlin',
      to: '2026-10-25T04:00 Europe/Berlin',
    });
    expect(Date.parse(to) - Date.parse(from)).toBe(4 * HOUR_MS);
  });
});
