/**
 * Random schemas, random overlapping writers, random crashes: in all cases source and target are equal at the end.
 *
 * `WALFERRY_RANDOM_SEED` repeats a round (it determines schema, statements and crashes, but not their timing), and
 * `WALFERRY_RANDOM_ROUNDS` runs more rounds.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { connectTo } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { Faults } from '../support/random/faults.ts';
import { Pick } from '../support/random/pick.ts';
import { randomSchema } from '../support/random/schema.ts';
import { Writers } from '../support/random/writers.ts';
import { until } from '../support/until.ts';

const ROUNDS = Number(process.env['WALFERRY_RANDOM_ROUNDS'] ?? 2);
const GIVEN = process.env['WALFERRY_RANDOM_SEED'];
const seeds = Array.from({ length: ROUNDS }, (_, round) =>
  GIVEN === undefined ? randomInt(2 ** 31) : Number(GIVEN) + round,
);
/** Enough that a copy takes a while; the writers fill the tables before it. */
const TRANSACTIONS_BEFORE = 150;
const TRANSACTIONS_STREAMED = 150;
const PHASE_SECONDS = 120;
const EARLY: readonly string[] = ['preflight', 'schema'];

test.each(seeds)(
  'a random schema under random writers and random crashes arrives equal (seed %i)',
  { timeout: 480_000 },
  async (seed) => {
    process.stdout.write(`seed ${seed}\n`);
    const pick = new Pick(seed);
    const schema = randomSchema(pick, seed);
    await using lab = await Lab.open(schema.sql);
    const writers = new Writers(schema, seed, () => connectTo(lab.pair.source));
    const faults = new Faults(lab, pick);
    try {
      await until('the writers', () => writers.committed > TRANSACTIONS_BEFORE);
      await lab.worker({ name: 'first' });
      await lab.start({
        copy: { parallelism: 1 + pick.below(4), chunkMegabytes: 1 },
        stream: {
          batchChanges: pick.one([1, 7, 100, 20_000]),
          batchMilliseconds: pick.one([0, 10, 200, 1_000]),
          leaseSeconds: 5,
        },
      });
      // Before that it refuses to start without its servers, and there is nothing to continue.
      await until('the snapshot', async () => !EARLY.includes((await lab.progress()).phase));
      await faults.strike();
      await lab.phase('stream', PHASE_SECONDS);
      await faults.strike();
      const committed = writers.committed;
      await until('more changes', () => writers.committed > committed + TRANSACTIONS_STREAMED, {
        seconds: 60,
      });
      if (pick.chance(0.5)) await faults.strike();
      await lab.phase('stream', PHASE_SECONDS);
    } finally {
      await writers.stop();
      process.stdout.write(
        `seed ${seed}: ${writers.committed} transactions, refused ${JSON.stringify([...writers.refused])}; ${faults.done.join(', ')}\n`,
      );
    }
    expect(writers.committed).toBeGreaterThan(TRANSACTIONS_STREAMED);
    await lab.finish();
  },
);
