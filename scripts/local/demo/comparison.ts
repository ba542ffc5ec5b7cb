/** What a run of the demo has to show to count as passed, and the messages when it does not. */

/** The result of a kill. */
export type Proof =
  /** Finished work was not repeated, and the work continued. */
  | 'proven'
  /** All chunks were done before a kill was possible. */
  | 'too late'
  /** Finished work was repeated, or the marks do not show that work continued after the kill. */
  | 'refuted';

export interface Shown {
  /** Persons in the source. */
  readonly rows: number;
  readonly kills: { readonly copy: Proof; readonly stream: Proof };
  readonly equal: boolean;
  /** Answer of the verification under load. */
  readonly verification: string;
  /** Whether the answers of cutover and switch back began with a measured downtime. */
  readonly measured: boolean;
  /** Commits of the application that the live side contradicts. */
  readonly ledgerProblems: number;
  /** By name. */
  readonly left: readonly string[];
}

/** Enough for a copy that lasts until a kill on any machine; with fewer the copy may end first. */
export const DEFAULT_ROWS = 3_000_000;

/** Why the run did not pass, one sentence each; none when it did. Pure. */
export function failings({ rows, kills, equal, ledgerProblems, ...shown }: Shown): string[] {
  const found: string[] = [];
  if (!equal) found.push('source and target are not equal');
  if (ledgerProblems > 0)
    found.push('the ledger of the application does not hold on the live side');
  if (!shown.verification.startsWith('Equal'))
    found.push('the verification did not find both sides equal');
  if (!shown.measured) found.push('an answer of cutover or switchback has no downtime');
  if (shown.left.length > 0) found.push(`something was left behind: ${shown.left.join(', ')}`);
  if (kills.copy === 'refuted') {
    found.push(
      'chunks that were finished before the kill in the copy were repeated, although the snapshot owner was not killed',
    );
  }
  if (kills.copy === 'too late' && rows >= DEFAULT_ROWS) {
    found.push(
      'no worker could be killed during the copy, which ended too early, so the run shows one kill instead of two; use more --rows',
    );
  }
  if (kills.stream !== 'proven') {
    found.push('after the kill the stream did not continue from its position under a new epoch');
  }
  return found;
}
