/** The outcome of a case, and the table that a person reads at the end. */

export interface Outcome {
  /** The case's name. */
  readonly name: string;
  /** Servers that it ran on, if not this machine's own. */
  readonly on?: string;
  /** Rows that existed when the snapshot was taken; null if it was not reached. */
  readonly copied: number | null;
  /** Changes that the source's WAL holds for the case's tables since then. */
  readonly streamed: number | null;
  /** How many of them were applied one by one, not folded. */
  readonly oneByOne?: number;
  /**
   * Whether the target refused rows of it in a batch, which sends the whole batch to the exact path.
   */
  readonly refused?: boolean;
  readonly result: 'equal' | 'different' | 'refused' | 'skipped';
  /** Why it was skipped, the code it was refused with, or everything that is wrong. */
  readonly details: readonly string[];
}

/** One line for each case, and a total. */
export function renderOutcomes(outcomes: readonly Outcome[], seconds: number): string {
  const rows = outcomes.map((outcome) => [
    outcome.name,
    outcome.copied === null ? '-' : String(outcome.copied),
    outcome.streamed === null ? '-' : String(outcome.streamed),
    outcome.oneByOne === undefined ? '-' : String(outcome.oneByOne),
    word(outcome),
  ]);
  const lines = [['case', 'copied', 'streamed', 'one by one', 'equal'], ...rows];
  const widths = [0, 1, 2, 3].map((i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const text = lines.map(([name = '', copied = '', streamed = '', oneByOne = '', equal = '']) =>
    [
      name.padEnd(widths[0] ?? 0),
      copied.padStart(widths[1] ?? 0),
      streamed.padStart(widths[2] ?? 0),
      oneByOne.padStart(widths[3] ?? 0),
      equal,
    ].join('  '),
  );
  const count = (result: Outcome['result']) =>
    outcomes.filter((one) => one.result === result).length;
  const sum = (of: 'copied' | 'streamed') => outcomes.reduce((n, one) => n + (one[of] ?? 0), 0);
  const total = `${outcomes.length} cases: ${count('equal')} equal, ${count('refused')} refused as they should be, ${count('different')} failed, ${count('skipped')} skipped; ${sum('copied')} rows copied, ${sum('streamed')} changes streamed, ${seconds.toFixed(0)} s`;
  return ['', ...text, '', total, ''].join('\n');
}

function word({ result, details, on }: Outcome): string {
  const place = on === undefined ? '' : ` (${on})`;
  if (result === 'equal') return `yes${place}`;
  if (result === 'different') return `NO${place}`;
  return `${result} ${details.join('; ')}${result === 'refused' ? place : ''}`;
}
