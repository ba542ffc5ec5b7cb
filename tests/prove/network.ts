/** The proof of a cutover during which the network is lost, with every case. */
import { everyCaseOf } from './every-case.ts';

export const proof = everyCaseOf(
  'tests/e2e/cutover-network.test.ts',
  'cutovers',
  'a network to either database that is lost in the middle of a cutover leaves exactly one outcome, writes come back at the deadline unless the source was sealed, and no write is lost or on both sides.',
);
