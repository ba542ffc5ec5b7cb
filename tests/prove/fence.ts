/** The proof of the fence under load (tests/support/fence-load.ts): a round is one arming. */
import { inputOf, registered } from '../support/control.ts';
import { connectTo, freshPair } from '../support/database.ts';
import {
  FENCE_SCHEMA_OF_WRITERS,
  proveFenceUnderLoad,
  type FenceTotals,
} from '../support/fence-load.ts';
import type { Counts, Proof } from './proof.ts';

export const proof: Proof = {
  claim:
    'no change lies between the mark, which follows arming and proof, and the moment the writes are given back.',
  run: async ({ rounds, seed, counted }) => {
    await using db = await freshPair();
    await db.sourceClient.query(FENCE_SCHEMA_OF_WRITERS);
    const { late } = await proveFenceUnderLoad({
      ...{ migration: await registered(db), input: inputOf(db), rounds, seed },
      connect: () => connectTo(db.source),
      until: (so) => so.late.length > 0,
      say: (so) => counted(so.rounds, countsOf(so)),
    });
    if (late.length > 0) throw new Error(`changed after the mark: ${late.join(', ')}`);
  },
};

function countsOf({ changes, refused, holders, longestMs, late }: FenceTotals): Counts {
  return {
    ...{ changes, 'refused statements': refused, 'writers waited for': holders },
    ...{ 'milliseconds of the longest proof': longestMs, 'changes after the mark': late.length },
  };
}
