/** The proof of the check within the box (tests/support/changed-rounds.ts): a round is a verification and what changed since. */
import { ChangedRounds } from '../support/changed-rounds.ts';
import type { Proof } from './proof.ts';
import { inRounds } from './rounds.ts';

export const proof: Proof = {
  claim:
    'after a verification and further changes the counts and the comparison of changed rows name a table with one foreign write on the target, and no table without.',
  run: async (options) => {
    await using lab = await ChangedRounds.start();
    await inRounds(proof.claim, (_, pick) => lab.round(pick)).run(options);
  },
};
