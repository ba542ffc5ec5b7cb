/** The rule that decides for every change whether the copy already has it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLsn } from '../../contract/lsn.ts';
import {
  filterEnd,
  isVisible,
  parseSnapshot,
  widenXid,
  type ExportedSnapshot,
} from '../../postgres/catalog/visibility.ts';

const pass = (snapshot: string, lsn = '0/1'): ExportedSnapshot => ({
  number: 1,
  lsn: parseLsn(lsn),
  ...parseSnapshot(snapshot),
});

test('ended transactions are visible, running and later ones are not', () => {
  const g = pass('100:110:100,105');
  const visible = [99, 100, 101, 105, 109, 110, 111].map((xid) => isVisible(xid, g));
  expect(visible).toEqual([true, false, true, false, true, false, false]);
});

test('a snapshot without running transactions has an empty list', () => {
  expect(parseSnapshot('7:7:')).toEqual({ xmin: 7n, xmax: 7n, xip: new Set() });
});

test('32-bit ids are widened across a wraparound in both directions', () => {
  const epoch = 1n << 32n;
  // Just after the wraparound: ids before it are old, small ones belong to the new epoch.
  expect(widenXid(0xffff_fff0, 3n * epoch + 5n)).toBe(2n * epoch + 0xffff_fff0n);
  expect(widenXid(4, 3n * epoch + 5n)).toBe(3n * epoch + 4n);
  // Just before it: a small id is one that came later.
  expect(widenXid(7, 3n * epoch - 5n)).toBe(3n * epoch + 7n);
  expect(isVisible(7, pass(`${3n * epoch - 9n}:${3n * epoch - 5n}:`))).toBe(false);
  expect(isVisible(0xffff_fff0, pass(`${3n * epoch}:${3n * epoch + 5n}:`))).toBe(true);
});

test('every id within 2^31 of the snapshot is widened to itself', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 1n << 31n, max: 1n << 50n }),
      fc.bigInt({ min: -(1n << 31n), max: (1n << 31n) - 1n }),
      (xmax, distance) => {
        const xid = xmax + distance;
        expect(widenXid(Number(BigInt.asUintN(32, xid)), xmax)).toBe(xid);
      },
    ),
  );
});

test('a transaction is visible if it is below xmax and not running', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 1n << 33n, max: 1n << 40n }),
      fc.uniqueArray(fc.integer({ min: 0, max: 40 })),
      fc.integer({ min: -50, max: 60 }),
      (xmax, running, at) => {
        const xip = running.map((n) => xmax - 41n + BigInt(n)).sort((a, b) => Number(a - b));
        const g = pass(`${xip[0] ?? xmax}:${xmax}:${xip.join(',')}`);
        const xid = xmax + BigInt(at);
        expect(isVisible(Number(BigInt.asUintN(32, xid)), g)).toBe(
          xid < xmax && !xip.includes(xid),
        );
      },
    ),
  );
});

test('the filter ends with the newest position', () => {
  expect(filterEnd([])).toBeNull();
  const positions = ['9/0', '10/0', 'A/FF'];
  expect(filterEnd(positions.map((lsn) => pass('1:1:', lsn)))).toBe('10/0');
});

test('an invalid snapshot is refused', () => {
  for (const text of ['', '1:2', '1:2:x', '1:2:3,', 'a:b:']) {
    expect(() => parseSnapshot(text)).toThrow(RangeError);
  }
});
