/**
 * When a guard holds the copy and when it lets go, pure. Two looks above the ceiling hold; some looks in a row clearly below it let
 * go, so that a value that swings around the ceiling, or falls because the copy is held, does not start and stop it every second.
 * A guard that cannot measure holds, too: it is there to protect the source, and one that is too busy to answer must not be loaded.
 */
import type { GuardReport } from '../../contract/guard.ts';
import type { Look } from './measure.ts';

const LOOKS_TO_HOLD = 2;
/** A lost session or a statement that timed out once is no reason yet. */
const FAILURES_TO_HOLD = 3;
const LOOKS_TO_LET_GO = 5;
/** Part of the ceiling to which the value has to fall. */
const LOW_ENOUGH = 0.9;

export type Failing = NonNullable<GuardReport['failing']>;
export type Seen =
  | { readonly looks: readonly Look[] }
  | {
      readonly failing: Failing;
      /** The measure that failed; unset: nothing could be measured. */
      readonly what?: Pick<Look, 'measure' | 'ceiling'>;
    };

export class Hysteresis {
  #high = 0;
  #failures = 0;
  #low = 0;
  #holding = false;

  get holding(): boolean {
    return this.#holding;
  }

  /** Takes the newest look. @param first measure and ceiling to name when nothing could be measured. */
  hysteresis(seen: Seen, first: Pick<GuardReport, 'measure' | 'ceiling'>): GuardReport {
    const worst = 'looks' in seen ? worstOf(seen.looks) : undefined;
    const isHigh = worst !== undefined && worst.value > worst.ceiling;
    const isLow =
      'looks' in seen && seen.looks.every((one) => one.value <= one.ceiling * LOW_ENOUGH);
    this.#high = isHigh ? this.#high + 1 : 0;
    this.#low = isLow ? this.#low + 1 : 0;
    this.#failures = 'failing' in seen ? this.#failures + 1 : 0;
    if (this.#holding) this.#holding = this.#low < LOOKS_TO_LET_GO;
    else this.#holding = this.#high >= LOOKS_TO_HOLD || this.#failures >= FAILURES_TO_HOLD;
    if ('failing' in seen) {
      const { what = first, failing } = seen;
      return { ...what, holding: this.#holding, value: null, failing };
    }
    const { measure, ceiling, value } = worst ?? { ...first, value: 0 };
    return { holding: this.#holding, measure, ceiling, value };
  }
}

/** The one that is furthest above its ceiling, in parts of it. */
function worstOf(looks: readonly Look[]): Look | undefined {
  const part = ({ value, ceiling }: Look): number =>
    ceiling === 0 ? (value > 0 ? Infinity : 0) : value / ceiling;
  return [...looks].sort((a, b) => part(b) - part(a))[0];
}
