/**
 * What a driver of a long proof is: one module with the export `proof`, listed in proofs.ts. It uses the product's own code on real
 * servers, as the tests do, and whatever tests/support offers.
 */

/** What was counted. Names are read by people: `anchors`, `crashes between barrier and clearing`. */
export type Counts = Readonly<Record<string, number>>;

export interface ProofOptions {
  /** How often: what a round is, the proof says. At least 1; Infinity where time ends the proof. */
  readonly rounds: number;
  /** Whether the time for it is over: then no round begins any more. Never true where rounds were asked for. */
  readonly over: () => boolean;
  /** All that is random comes from it: it repeats a proof as far as the servers' timing allows. */
  readonly seed: number;
  /** To be called after each round, with everything counted so far. */
  readonly counted: (finished: number, counts: Counts) => void;
}

export interface Proof {
  /** What no round may break, as one sentence. */
  readonly claim: string;
  /**
   * Runs all rounds.
   * @throws Error when the claim does not hold, naming what was seen.
   */
  run(options: ProofOptions): Promise<void>;
  /** Whether it looks at `over`, so that time may end it. */
  readonly timed?: boolean;
}

/** The totals of a proof. */
export interface Proved {
  readonly name: string;
  readonly claim: string;
  readonly seed: number;
  /** Wanted (null: as many as the time sufficed for), and finished without breaking the claim. */
  readonly rounds: number | null;
  readonly finished: number;
  readonly seconds: number;
  readonly counts: Counts;
  /** Why it was broken; null: it held in all rounds. */
  readonly broken: string | null;
}
