/** What the demo's application says of a cutover. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Refusals } from '../../scripts/local/writer/refusal.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const later = (seconds: number) => vi.advanceTimersByTime(seconds * 1000);

test('the time without a write reaches from the last one accepted anywhere to the next, and every refusal counts', () => {
  const said: string[] = [];
  const refusals = new Refusals((line) => said.push(line));
  refusals.accepted('old', performance.now());
  later(0.5);
  const underWay = performance.now();
  later(0.5);
  refusals.refused('old');
  later(0.25);
  // Begun before the first refusal, so it wrote before the fence: no outage ends with it.
  refusals.accepted('old', underWay);
  later(1);
  refusals.refused('new');
  refusals.refused('old');
  later(1);
  const began = performance.now();
  later(0.1);
  refusals.accepted('new', began);
  // Another connection has not moved yet.
  refusals.refused('old');
  refusals.accepted('new', performance.now());
  expect(said).toEqual([
    '"old" refuses writes (SQLSTATE 25006)',
    '"new" takes writes: none for 2.1 s, 3 refused',
  ]);
  expect(refusals.total).toBe(4);
});
