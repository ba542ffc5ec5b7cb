/** The proof of a target that is lost while only it knows the outcome. */
import { everyCaseOf } from './every-case.ts';

export const proof = everyCaseOf(
  'tests/e2e/outcome-unknown.test.ts',
  'lost targets',
  'a target that is lost after the seal leaves the outcome unknown: only a person gives the writes back, and not while the target answers.',
);
