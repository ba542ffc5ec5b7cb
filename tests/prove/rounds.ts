/** Runs the rounds of a proof and adds up what they counted. Stops at the first one that breaks the claim. */
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
  let counts: Counts = {};
  let finished = 0;
  let broken: string | null = null;
  let saidAt = -Infinity;
  try {
    await using open = await proof.open({ pick: new Pick(seed), say });
    while (finished < rounds) {
      counts = sum(counts, await open.round(finished + 1));
      finished += 1;
      if (performance.now() - saidAt < SAY_EVERY_MS && finished < rounds) continue;
      saidAt = performance.now();
      say(`${name}: round ${finished} of ${rounds}, ${seconds()} s: ${countsText(counts)}`);
    }
  } catch (error) {
    // Also a failure of the servers: a proof that could not be run has proved nothing.
    broken = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const { claim } = proof;
  return { name, claim, seed, rounds, finished, seconds: seconds(), counts, broken };
}

function sum(a: Counts, b: Counts): Counts {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return Object.fromEntries([...names].map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]));
}

export const countsText = (counts: Counts): string =>
  Object.entries(counts)
    .map(([name, value]) => `${value.toLocaleString('en-US')} ${name}`)
    .join(', ');

/** One sentence. */
export function sentenceOf({
  name,
  claim,
  seed,
  rounds,
  finished,
  seconds,
  counts,
  broken,
}: Proved): string {
  const totals = countsText(counts);
  const counted = totals === '' ? '' : ` (${totals})`;
  if (broken === null) {
    return `${name}: in ${finished} rounds and ${seconds} s${counted} this held: ${claim} Seed ${seed}.`;
  }
  const [why = ''] = broken.split('\n');
  return `${name}: BROKEN in round ${finished + 1} of ${rounds}${counted}, seed ${seed}: ${why}`;
}
