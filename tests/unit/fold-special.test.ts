import { expect, test } from 'vitest';
import { isVisible, parseSnapshot } from '../../postgres/catalog/visibility.ts';

test.each([
  ['before the oldest running', 99, '100:110:100,105', true],
  ['running', 105, '100:110:100,105', false],
  ['ended between running ones', 104, '100:110:100,105', true],
  ['not begun when the snapshot was taken', 110, '100:110:100', false],
  ['before a wrap-around, seen from after it', 4_294_967_290, '4294967300:4294967310:', true],
  ['after a wrap-around', 3, '4294967290:4294967310:4294967299', false],
  ['after a wrap-around and ended', 4, '4294967290:4294967310:4294967299', true],
])('a transaction %s', (_, xid, snapshot, settled) => {
  expect(isVisible(xid, parseSnapshot(snapshot))).toBe(settled);
});
