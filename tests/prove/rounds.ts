/** Runs a proof: keeps its counts, says where it stands, and turns whatever stops it into a result. */
import { Pick } from '../support/random/pick.ts';
import type { Counts, Proof, Proved } from './proof.ts';

const SAY_EVERY_MS = 2_000;

export async function prove(
  name: string,
  proof: Proof,
  { rounds, seed }: { readonly rounds: number; readonly seed: number },
  say: (line: string) => void,
): Promise<Proved> {
  const began = performance.now();
  const seconds = () => Math.round((performance.now() - began) / 1000);
  let known: { finished: number; counts: Counts } = { finished: 0, counts: {} };
  let broken: string | null = null;
  let saidAt = -Infinity;
  const counted = (finished: number, counts: Counts): void => {
    known = { finished, counts };
    if (performance.now() - saidAt < SAY_EVERY_MS && finished < rounds) return;
    saidAt = performance.now();
    say(`${name}: round ${finished} of ${rounds}, ${seconds()} s: ${countsText(counts)}`);
  };
  try {
    await proof.run({ rounds, seed, counted });
    // A driver that ends early without a word has proved less than was asked for.
    if (known.finished < rounds) broken = `ended after ${known.finished} rounds`;
  } catch (error) {
    // Also a failure of the servers: a proof that could not be run has proved nothing.
    broken = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return { name, claim: proof.claim, seed, rounds, ...known, seconds: seconds(), broken };
}

/** A proof whose rounds are independent. @param round counts what it met; throws when the claim does not hold. */
export function inRounds(
  claim: string,
  round: (number: number, pick: Pick) => Promise<Counts>,
): Proof {
  return {
    claim,
    run: async ({ rounds, seed, counted }) => {
      const pick = new Pick(seed);
      let counts: Counts = {};
      for (let number = 1; number <= rounds; number += 1) {
        counts = sum(counts, await round(number, pick));
        counted(number, counts);
      }
    },
  };
}

function sum(a: Counts, b: Counts): Counts {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return Object.fromEntries([...names].map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]));
}

const countsText = (counts: Counts): string =>
  Object.entries(counts)
    .map(([name, value]) => `${value.toLocaleString('en-US')} ${name}`)
    .join(', ');

/** One sentence. */
export function sentenceOf(proved: Proved): string {
  const { name, claim, seed, rounds, finished, seconds, broken } = proved;
  const totals = countsText(proved.counts);
  const counts = totals === '' ? '' : ` (${totals})`;
  if (broken === null) {
    return `${name}: in ${finished} rounds and ${seconds} s${counts} this held: ${claim} Seed ${seed}.`;
  }
  const [why = ''] = broken.split('\n');
  return `${name}: BROKEN after ${finished} of ${rounds} rounds${counts}, seed ${seed}: ${why}`;
}
