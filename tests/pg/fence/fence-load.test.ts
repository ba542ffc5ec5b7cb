/** The proof of the fence under load: ten writers, and no change after the mark. */
import { expect, test } from 'vitest';
import { inputOf, registered } from '../../support/control.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { FENCE_SCHEMA_OF_WRITERS, proveFenceUnderLoad } from '../../support/fence-load.ts';
import { drawnSeed } from '../../support/random/pick.ts';

/** About ten seconds; `npm run prove -- fence` runs hundreds. */
const ROUNDS = 8;

async function loaded(rounds: number, more: { proves?: boolean } = {}) {
  const seed = drawnSeed();
  await using db = await freshPair();
  await db.sourceClient.query(FENCE_SCHEMA_OF_WRITERS);
  const migration = await registered(db);
  return await proveFenceUnderLoad({
    ...{ migration, input: inputOf(db), rounds, seed, connect: () => connectTo(db.source) },
    ...more,
    ...(more.proves === false ? { until: ({ late }) => late.length > 0 } : {}),
  });
}

test('ten writers of every kind: after arming, proof and mark no change is in the WAL until the writes are given back', async () => {
  const totals = await loaded(ROUNDS);
  expect(totals.late).toEqual([]);
  // It was under load: changes before each mark, writers that the proofs waited for, statements that were refused.
  expect(totals.changes).toBeGreaterThan(ROUNDS * 20);
  expect(totals.holders).toBeGreaterThan(0);
  expect(totals.refused).toBeGreaterThan(0);
});

test.runIf(process.env['FENCE_WITHOUT_PROOF'])(
  'without the proof a change after the mark is found: the check can fail',
  async () => {
    expect((await loaded(100, { proves: false })).late).not.toEqual([]);
  },
);
