/** The proof of the anchor with kills before and after the commits of the barrier and of its clearing: as many as rounds. */
import { anchorProof } from './anchor-totals.ts';

export const proof = anchorProof(
  'whatever is killed around the commits of a barrier and of its clearing, both sides are equal at every anchor and at the end.',
  (rounds) => rounds,
);
