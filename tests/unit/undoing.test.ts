/** What an undo costs that cannot be done for days: the server ends a workflow at so many events, and then no one opens a sealed source. */
import { expect, test } from 'vitest';
import { undoing, undoPauseMs } from '../../workflows/options.ts';

/** Of Temporal, by default; and what one round of tries writes: activity, timer, and the workflow tasks between them. */
const MOST_EVENTS = 51_200;
const ROUND_EVENTS = 11;
const DAY_MS = 86_400_000;

/** Milliseconds that the tries of a round take when each fails at once. */
function triesMs(rounds: number): number {
  const { retry } = undoing(rounds);
  let ms = 0;
  let wait = 200;
  for (let at = 1; at < retry.maximumAttempts; at += 1) {
    ms += wait;
    wait = Math.min(wait * retry.backoffCoefficient, 1_000);
  }
  return ms;
}

test.each([
  { failure: 'that is tried again', tookMs: triesMs },
  { failure: 'that ends a round at once', tookMs: () => 50 },
])('an undo with a failure $failure goes on for three days within the limit', ({ tookMs }) => {
  let [ms, rounds] = [0, 0];
  for (; ms < 3 * DAY_MS; rounds += 1) ms += tookMs(rounds) + undoPauseMs(rounds, tookMs(rounds));
  expect(rounds * ROUND_EVENTS).toBeLessThan(MOST_EVENTS);
});

test('a database that is back is met within seconds, and what no retry repeats within a minute', () => {
  for (const rounds of [0, 4, 5, 1_000]) {
    expect(triesMs(rounds)).toBeGreaterThan(3_000);
    expect(undoPauseMs(rounds, triesMs(rounds))).toBeLessThanOrEqual(2_000);
    expect(undoPauseMs(rounds, 50)).toBeLessThanOrEqual(60_000);
  }
});
