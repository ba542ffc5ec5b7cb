import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareLsn,
  formatLsn,
  isLsn,
  lsnDistance,
  lsnToBigInt,
  maxLsn,
  parseLsn,
} from '../../contract/lsn.ts';

const position = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });

describe('LSN', () => {
  it('survives conversion to text and back, over the whole range', () => {
    fc.assert(
      fc.property(position, (p) => {
        expect(lsnToBigInt(formatLsn(p))).toBe(p);
        expect(parseLsn(formatLsn(p))).toBe(formatLsn(p));
      }),
    );
  });

  it('is ordered by position, not by text', () => {
    expect(compareLsn(parseLsn('9/0'), parseLsn('10/0'))).toBeLessThan(0);
    expect(compareLsn(parseLsn('0/FFFFFFFF'), parseLsn('1/0'))).toBeLessThan(0);
    fc.assert(
      fc.property(position, position, (a, b) => {
        const order = compareLsn(formatLsn(a), formatLsn(b));
        expect(Math.sign(order)).toBe(a < b ? -1 : a > b ? 1 : 0);
        expect(maxLsn(formatLsn(a), formatLsn(b))).toBe(formatLsn(a > b ? a : b));
      }),
    );
  });

  it('measures the distance in bytes, also across the 32-bit border', () => {
    expect(lsnDistance(parseLsn('0/FFFFFFF0'), parseLsn('1/10'))).toBe(32);
    expect(lsnDistance(parseLsn('1/10'), parseLsn('0/FFFFFFF0'))).toBe(-32);
  });

  it('accepts lower case and prints what PostgreSQL prints', () => {
    expect(parseLsn('16/b374d848')).toBe('16/B374D848');
    expect(parseLsn('00/00000010')).toBe('0/10');
  });

  it.each(['', '1', '/', '1/', '/1', '1/2/3', 'G/0', '123456789/0', ' 0/0', '0/0\n', '-1/0'])(
    'refuses %j',
    (text) => {
      expect(isLsn(text)).toBe(false);
      expect(() => parseLsn(text)).toThrow(RangeError);
    },
  );

  it('refuses positions outside of 64 bits', () => {
    expect(() => formatLsn(-1n)).toThrow(RangeError);
    expect(() => formatLsn(1n << 64n)).toThrow(RangeError);
  });
});
