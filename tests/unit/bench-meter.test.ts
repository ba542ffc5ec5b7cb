/** CPU of sessions that come and go. */
import { expect, test } from 'vitest';
import { Meter } from '../../bench/rig/meter.ts';

test('a session that ends does not reduce what the bench has counted, and a new one counts from its start', () => {
  const meter = new Meter(
    new Map([
      ['lasting', 5],
      ['ending', 40],
    ]),
  );
  meter.read(
    new Map([
      ['lasting', 6],
      ['ending', 42],
    ]),
  );
  meter.read(
    new Map([
      ['lasting', 7],
      ['new', 0.5],
    ]),
  );
  expect(meter.seconds).toBe(1 + 2 + 1 + 0.5);
});
