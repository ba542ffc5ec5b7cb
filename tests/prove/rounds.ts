/** Runs a proof: keeps its counts, says where it stands, and turns whatever stops it into a result. */
import { Pick } from '../support/random/pick.ts';
import type { Counts, Proof, Proved } from './proof.ts';

const SAY_EVERY_MS = 2_000;
const MS_PER_MINUTE = 60_000;

/** How long a proof is: rounds, or minutes in their place. */
interface Extent {
  readonly rounds: number;
  readonly minutes?: number | undefined;
  readonly seed: number;
}

export async function prove(
  name: string,
  proof: Proof,
  { rounds, minutes, seed }: Extent,
  say: (line: string) => void,
): Promise<Proved> {
  const began = performance.now();
  const over = (): boolean =>
    minutes !== undefined && performance.now() - began >= minutes * MS_PER_MINUTE;
  const wanted = minutes === undefined ? rounds : Infinity;
  const seconds = () => Math.round((performance.now() - began) / 1000);
  let known: { finished: number; counts: Counts } = { finished: 0, counts: {} };
  let broken: string | null = null;
  let saidAt = -Infinity;
  const counted = (finished: number, counts: Counts): void => {
    known = { finished, counts };
    if (performance.now() - saidAt < SAY_EVERY_MS && finished < wanted) return;
    saidAt = performance.now();
    const of = minutes === undefined ? ` of ${rounds}` : '';
    say(`${name}: round ${finished}${of}, ${seconds()} s: ${countsText(counts)}`);
  };
  try {
    if (minutes !== undefined && proof.timed !== true)
      throw new Error('this proof counts rounds: give --rounds');
    await proof.run({ rounds: wanted, over, seed, counted });
    // A driver that ends early without a word has proved less than was asked for.
    if (minutes === undefined ? known.finished < rounds : !over())
      broken = `ended after ${known.finished} rounds`;
  } catch (error) {
    // Also a failure of the servers: a proof that could not be run has proved nothing.
    broken = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return {
    ...{ name, claim: proof.claim, seed, rounds: minutes === undefined ? rounds : null },
    ...{ ...known, seconds: seconds(), broken },
  };
}

/** A proof whose rounds are independent. @param round counts what it met; throws when the claim does not hold. */
export function inRounds(
  claim: string,
  round: (number: number, pick: Pick) => Promise<Counts>,
): Proof {
  return {
    claim,
    timed: true,
    run: async ({ rounds, over, seed, counted }) => {
      const pick = new Pick(seed);
      let counts: Counts = {};
      for (let number = 1; number <= rounds && !over(); number += 1) {
        counts = sum(counts, await round(number, pick));
        counted(number, counts);
      }
    },
  };
}

export function sum(a: Counts, b: Counts): Counts {
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
  return `${name}: BROKEN after ${finished}${rounds === null ? '' : ` of ${rounds}`} rounds${counts}, seed ${seed}: ${why}`;
}
