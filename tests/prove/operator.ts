/** The long form of tests/e2e/random-operator.test.ts: each round has a seed of its own. */
import { operatorRound, type RoundCounts } from '../support/random/operator-round.ts';
import type { Proof } from './proof.ts';

const ACTIONS = 22;

export const proof: Proof = {
  claim:
    'Whatever an operator asks for and whatever fails meanwhile, each update is answered, no write is lost or on both sides, one side is live, and nothing is left.',
  run: async ({ rounds, seed, counted }) => {
    const counts: RoundCounts = {};
    for (let finished = 0; finished < rounds;) {
      const round = await operatorRound(seed + finished, { actions: ACTIONS });
      for (const [name, n] of Object.entries(round)) counts[name] = (counts[name] ?? 0) + n;
      finished += 1;
      counted(finished, counts);
    }
  },
};
