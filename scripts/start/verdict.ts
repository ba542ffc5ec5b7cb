/** What a run of the demo has to show to count as passed, and in which words it did not. */

/** How a kill came out. */
export type Proof =
  /** What was finished stayed as it was, and the work went on. */
  | 'proven'
  /** There was no moment for it any more: all chunks were done. */
  | 'too late'
  /** Work that was finished was done again, or marks do not show that it went on behind the kill. */
  | 'refuted';

export interface Shown {
  /** Persons in the source. */
  readonly rows: number;
  readonly kills: { readonly copy: Proof; readonly stream: Proof };
  readonly equal: boolean;
  /** Commits of the application that the target contradicts. */
  readonly ledgerProblems: number;
  readonly slotsLeft: number;
}

/** So many that the copy lasts long enough for a kill on any machine; below, the copy may be over before one. */
export const DEFAULT_ROWS = 3_000_000;

/** Why the run did not pass, one sentence each; none when it did. Pure. */
export function failings({ rows, kills, equal, ledgerProblems, slotsLeft }: Shown): string[] {
  const found: string[] = [];
  if (!equal) found.push('source and target are not equal');
  if (ledgerProblems > 0) found.push('the ledger of the application does not hold on the target');
  if (slotsLeft > 0) found.push('a slot was left on the source');
  if (kills.copy === 'refuted') {
    found.push(
      'chunks that were finished before the kill in the copy were copied again, though the holder of the snapshot was not hit',
    );
  }
  if (kills.copy === 'too late' && rows >= DEFAULT_ROWS) {
    found.push(
      'no worker could be killed in the copy, so that it shows one kill instead of two: the copy was over; use more --rows',
    );
  }
  if (kills.stream !== 'proven') {
    found.push('after the kill the stream did not go on from where it was, under a new epoch');
  }
  return found;
}
