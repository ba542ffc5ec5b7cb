/** The proof `changed-rows`, short. `WALFERRY_SEED` repeats a run. */
import { expect, test } from 'vitest';
import { ChangedRounds } from '../../support/changed-rounds.ts';
import { drawn } from '../../support/random/pick.ts';

const SHORT_MS = 6_000;
const MOST_ROUNDS = 10;

test('after random changes the check within the box names a table with one foreign write, and none without', async () => {
  const pick = drawn();
  await using lab = await ChangedRounds.start();
  const ends = performance.now() + SHORT_MS;
  let rounds = 0;
  do {
    await lab.round(pick);
    rounds += 1;
  } while (rounds < MOST_ROUNDS && performance.now() < ends);
  expect(rounds).toBeGreaterThan(0);
});
