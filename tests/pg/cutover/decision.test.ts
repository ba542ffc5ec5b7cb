/** The one decision of a cutover: gate on the source, outcome on the target, first insert wins. */
import { expect, test } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { proveDecision, type Totals } from '../../support/proof/decision.ts';

/** Short here; `WALFERRY_PROOF_SECONDS` makes it as long as wanted. */
const PROOF_MS = 1000 * Number(process.env['WALFERRY_PROOF_SECONDS'] ?? 15);
const LONGEST_MORE_MS = 75_000;

test(
  'drivers that crash, freeze and overtake each other end in exactly one outcome: no write after the seal of a switched one, and writes flow after every undo and expiry',
  { timeout: PROOF_MS + 105_000 },
  async () => {
    await using db = await freshPair();
    const seed = Math.floor(Math.random() * 2 ** 31);
    process.stdout.write(`decision seed ${seed}\n`);
    const until = performance.now() + PROOF_MS;
    // On a busy machine a round takes seconds: it goes on until every end was met.
    const met = ({ switched, undone, crashes }: Totals) => Math.min(switched, undone, crashes) > 0;
    const more = (totals: Totals) => {
      const left = until - performance.now();
      return left > 0 || (!met(totals) && left > -LONGEST_MORE_MS);
    };
    const totals = await proveDecision(db, { seed, more });
    process.stdout.write(`decision ${JSON.stringify(totals)}\n`);
    expect(totals.bad).toEqual([]);
    expect(met(totals)).toBe(true);
  },
);
