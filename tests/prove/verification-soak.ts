/** The proof of the verification (tests/support/soak/soak.ts): a round is a migration. */
import { Soak } from '../support/soak/soak.ts';
import type { Counts, Proof } from './proof.ts';
import { sum } from './rounds.ts';

/** Then another schema is drawn, and the cutover compares both sides by other means. */
const MIGRATION_MS = 600_000;

export const proof: Proof = {
  claim:
    'under heavy load and faults a verification reports no difference where there is none, and finds every single one that there is.',
  timed: true,
  run: async ({ rounds, over, seed, counted }) => {
    let counts: Counts = {};
    for (let number = 1; number <= rounds && !over(); number += 1) {
      const ends = performance.now() + MIGRATION_MS;
      const isOver = (): boolean => over() || performance.now() > ends;
      const tell = (so: Counts): void => counted(number - 1, sum(counts, so));
      counts = sum(counts, await new Soak(seed + number, isOver, tell).run());
      counted(number, counts);
    }
  },
};
