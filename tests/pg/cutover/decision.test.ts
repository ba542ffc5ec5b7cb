/** The one decision of a cutover: gate on the source, outcome on the target, first insert wins. */
import { expect, test } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { proveDecision } from '../../support/proof/decision.ts';

/** Short here; `WALFERRY_PROOF_SECONDS` makes it as long as wanted. */
const PROOF_MS = 1000 * Number(process.env['WALFERRY_PROOF_SECONDS'] ?? 15);

test(
  'drivers that crash, freeze and overtake each other end in exactly one outcome: no write after the seal of a switched one, and writes flow after every undo and expiry',
  { timeout: PROOF_MS + 105_000 },
  async () => {
    await using db = await freshPair();
    const seed = Math.floor(Math.random() * 2 ** 31);
    process.stdout.write(`decision seed ${seed}\n`);
    const until = performance.now() + PROOF_MS;
    const totals = await proveDecision(db, { seed, more: () => performance.now() < until });
    process.stdout.write(`decision ${JSON.stringify(totals)}\n`);
    expect(totals.bad).toEqual([]);
    expect(Math.min(totals.switched, totals.undone, totals.crashes)).toBeGreaterThan(0);
  },
);
