/** The proof of a cutover under faults, with every point and every fault. */
import { everyCaseOf } from './every-case.ts';

export const proof = everyCaseOf(
  'tests/e2e/cutover-faults.test.ts',
  'cutovers',
  'a kill, a freeze and a restart of either database or of Temporal, at every durable step of a cutover, end in exactly one outcome, and no write is lost or on both sides.',
);
