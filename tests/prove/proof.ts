/**
 * What a driver of a long proof is: one module with the export `proof`, listed in proofs.ts. It uses the product's own code on real
 * servers, as the tests do, and whatever tests/support offers.
 */
import type { Pick } from '../support/random/pick.ts';

/** What was counted; added up over all rounds. Names are read by people: `anchors`, `crashes between barrier and clearing`. */
export type Counts = Readonly<Record<string, number>>;

export interface ProofContext {
  /** All that is random comes from it: a seed repeats a proof as far as the servers' timing allows. */
  readonly pick: Pick;
  /** A line for the person who watches. */
  readonly say: (line: string) => void;
}

export interface OpenProof extends AsyncDisposable {
  /**
   * One round.
   * @param round from 1.
   * @throws Error when the claim does not hold, naming what was seen.
   */
  round(round: number): Promise<Counts>;
}

export interface Proof {
  /** What no round may break, as one sentence. */
  readonly claim: string;
  /** Databases, load and faults for all rounds. */
  open(context: ProofContext): Promise<OpenProof>;
}

/** The totals of a proof. */
export interface Proved {
  readonly name: string;
  readonly claim: string;
  readonly seed: number;
  /** Wanted, and finished without breaking the claim. */
  readonly rounds: number;
  readonly finished: number;
  readonly seconds: number;
  readonly counts: Counts;
  /** Why the next round broke it; null: it held in all rounds. */
  readonly broken: string | null;
}
