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
      // It goes on until there are as many anchors as rounds, and as many kills as are wanted.
      const finished = (so: Pick<AnchorProof, 'anchors' | 'killed'>): number => {
        const killed = options.kills === 0 ? 1 : sum(so.killed) / options.kills;
        return Math.floor(rounds * Math.min(1, so.anchors / rounds, killed));
      };
      const tell = (so: AnchorProof) => counted(finished(so), countsOf(so));
      const { differ, wrong, equal, anchors, ...proved } = await proveAnchors(db, {
        ...options,
        tell,
      });
      counted(
        finished({ ...proved, anchors }),
        countsOf({ ...proved, anchors, differ, wrong, equal }),
      );
      if (wrong.length > 0) throw new Error(`a lease failed: ${wrong.join('; ')}`);
      if (differ > 0) throw new Error(`the sides differ at ${differ} of ${anchors} anchors`);
      if (!equal) throw new Error('the sides differ after the last change');
    },
  };
}

function countsOf({ anchors, left, killed, leases, refused }: AnchorProof): Counts {
  return {
    ...{ anchors, 'anchors that left out an earlier commit': left, kills: sum(killed) },
    ...{ leases: sum(leases), 'refused anchors': sum(refused) },
  };
}

const sum = (counts: Counts): number => Object.values(counts).reduce((all, one) => all + one, 0);
