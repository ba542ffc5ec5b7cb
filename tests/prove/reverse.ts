/** The proof that the way back starts exactly at the release (tests/support/reverse-round.ts). */
import { reverseRound } from '../support/reverse-round.ts';
import { inRounds } from './rounds.ts';

export const proof = inRounds(
  'the reverse stream has exactly what the application committed after the release.',
  async () => {
    const { commits } = await reverseRound();
    return { commits, releases: 1 };
  },
);
