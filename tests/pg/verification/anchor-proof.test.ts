/**
 * The proof of the anchor, in short (tests/prove/anchor-rounds.ts). It has its own source, whose commits wait for a synchronous
 * standby: only then a snapshot often shows a commit without an earlier one.
 */
import { expect, test } from 'vitest';
import { proveAnchors } from '../../prove/anchor-rounds.ts';
import { freshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';
import { serverOf } from '../../support/versions.ts';

test(
  'at every anchor both sides are equal, under concurrent writers, cut sessions, a frozen attempt, and kills around the commits of the barrier',
  { timeout: 600_000 },
  async () => {
    const { programs: folder } = testRun().source;
    await using source = await serverOf(
      'source',
      { folder, version: 'stalling' },
      { synchronous_standby_names: 'absent', synchronous_commit: 'local' },
    );
    await using db = await freshPair({ source });
    const proof = await proveAnchors(db, { rounds: 10, kills: 4, freezes: 1 });
    process.stdout.write(`${JSON.stringify(proof)}\n`);
    expect(proof).toMatchObject({ differ: 0, wrong: [], equal: true });
    expect(Object.keys(proof.killed)).toHaveLength(4);
    expect(proof.left).toBeGreaterThan(0);
  },
);
