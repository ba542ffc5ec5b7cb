/** The proof of the one decision (tests/support/proof/decision.ts): a round is a cutover. */
import { freshPair } from '../support/database.ts';
import { proveDecision } from '../support/proof/decision.ts';
import type { Proof } from './proof.ts';

export const proof: Proof = {
  claim:
    'a cutover ends in exactly one of switched and undone, nothing is written after the second mark of a switched one, and writes flow after every undo and expiry.',
  run: async ({ rounds, seed, counted }) => {
    await using db = await freshPair();
    const { bad } = await proveDecision(db, {
      seed,
      more: ({ bad: broken, rounds: finished, ...counts }) => {
        counted(finished, counts);
        return finished < rounds && broken.length === 0;
      },
    });
    if (bad.length > 0) throw new Error(bad.join('; '));
  },
};
