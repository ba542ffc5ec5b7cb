/** The proof of a way back under faults, with every point and every fault. */
import { everyCaseOf } from './every-case.ts';

export const proof = everyCaseOf(
  'tests/e2e/switchback-faults.test.ts',
  'switches back',
  'a kill, a freeze and a restart of either database or of Temporal, at every durable step of a switch back and at the start of the way back, end in exactly one outcome, and no write is lost or on both sides.',
);
