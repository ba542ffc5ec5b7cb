/** The driver of the anchor (anchor-rounds.ts) as a long proof: a source of its own, whose commits wait for a standby. */
import { freshPair } from '../support/database.ts';
import { testRun } from '../support/run.ts';
import { serverOf } from '../support/versions.ts';
import { proveAnchors, type AnchorProof } from './anchor-rounds.ts';
import type { Counts, Proof } from './proof.ts';

/** @param kills how many processes are killed in so many rounds. */
export function anchorProof(claim: string, kills: (rounds: number) => number): Proof {
  return {
    claim,
    run: async ({ rounds, seed, counted }) => {
      const { programs: folder } = testRun().source;
      await using source = await serverOf(
        'source',
        { folder, version: 'stalling' },
        { synchronous_standby_names: 'absent', synchronous_commit: 'local' },
      );
      await using db = await freshPair({ source });
      const options = { rounds, kills: kills(rounds), seed };
      const tell = (so: AnchorProof) => counted(so.anchors, countsOf(so));
      const { differ, wrong, equal, anchors, ...proved } = await proveAnchors(db, {
        ...options,
        tell,
      });
      counted(anchors, countsOf({ ...proved, anchors, differ, wrong, equal }));
      if (wrong.length > 0) throw new Error(`a lease failed: ${wrong.join('; ')}`);
      if (differ > 0) throw new Error(`the sides differ at ${differ} of ${anchors} anchors`);
      if (!equal) throw new Error('the sides differ after the last change');
    },
  };
}

function countsOf({ anchors, left, killed, leases, refused }: AnchorProof): Counts {
  const sum = (counts: Counts) => Object.values(counts).reduce((all, one) => all + one, 0);
  return {
    ...{ anchors, 'anchors that left out an earlier commit': left, kills: sum(killed) },
    ...{ leases: sum(leases), 'refused anchors': sum(refused) },
  };
}
