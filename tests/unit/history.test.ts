/** Where a timeline branches off another one, according to the server's history file. */
import { expect, test } from 'vitest';
import { leftAt } from '../../postgres/identity/history.ts';

const HISTORY = '1\t0/3000148\tno recovery target specified\n\n2\t0/50000A0\tbefore 2026\n';

test('the position at which a timeline branched off an ancestor is that of its line', () => {
  expect(leftAt(HISTORY, 1)).toBe('0/3000148');
  expect(leftAt(HISTORY, 2)).toBe('0/50000A0');
});

test('a timeline that is not an ancestor has no branch position', () => {
  expect(leftAt(HISTORY, 3)).toBeNull();
  expect(leftAt('', 1)).toBeNull();
});
