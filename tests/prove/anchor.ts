/** The proof of the anchor under load, without kills. */
import { anchorProof } from './anchor-totals.ts';

export const proof = anchorProof(
  'at every anchor both sides are equal, and no change hits no row or two.',
  () => 0,
);
