/** The long proofs by their names: `npm run prove -- NAME --rounds N`. A driver lies next to the tests of its subject. */
import type { Proof } from './proof.ts';

/** The proofs that the design has; each gets its driver with the code that it is about. */
export const PROOF_NAMES = [
  'anchor',
  'barrier',
  'fence',
  'decision',
  'reverse',
  'operator',
  'faults',
  'switchback-faults',
  'outcome-unknown',
  'network',
  'verification',
  'changed-rows',
] as const;
export type ProofName = (typeof PROOF_NAMES)[number];

type Load = () => Promise<{ readonly proof: Proof }>;

/** Loaded when it is asked for: a driver brings the code of its subject. */
export const PROOFS: Readonly<Partial<Record<ProofName, Load>>> = {
  anchor: () => import('./anchor.ts'),
  barrier: () => import('./barrier.ts'),
  fence: () => import('./fence.ts'),
  decision: () => import('./decision.ts'),
  reverse: () => import('./reverse.ts'),
  operator: () => import('./operator.ts'),
  faults: () => import('./faults.ts'),
  'switchback-faults': () => import('./switchback-faults.ts'),
  network: () => import('./network.ts'),
  'outcome-unknown': () => import('./outcome-unknown.ts'),
  verification: () => import('./verification-soak.ts'),
  'changed-rows': () => import('./changed-rows.ts'),
};

/** @throws Error naming the proofs that there are. */
export async function proofOf(name: string): Promise<Proof> {
  const known = PROOF_NAMES.find((one) => one === name);
  const load = known && PROOFS[known];
  if (load) return (await load()).proof;
  const there = PROOF_NAMES.filter((one) => PROOFS[one]).join(', ') || 'none';
  throw new Error(
    known
      ? `proof "${name}" has no driver yet; there are: ${there}`
      : `unknown proof; there are: ${there}`,
  );
}
