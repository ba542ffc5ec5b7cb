/**
 * Random load, random faults, and an operator who asks for anything at any time: a short round. `npm run prove -- operator` runs
 * many; `WALFERRY_SEED` repeats one, as far as its timing allows.
 */
import { expect, test } from 'vitest';
import { operatorRound } from '../support/random/operator-round.ts';

const ACTIONS = 8;
const seed = Number(process.env['WALFERRY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

test(`whatever an operator asks for and whatever fails meanwhile, each update is answered, no write is lost, one side is live, and nothing is left`, async () => {
  const counts = await operatorRound(seed, { actions: ACTIONS });
  process.stdout.write(`${JSON.stringify(counts)}\n`);
  expect(counts['writes']).toBeGreaterThan(0);
});
