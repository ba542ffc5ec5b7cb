/**
 * When a guard holds and releases the copy. Pure. Two measurements above the ceiling hold; several consecutive ones clearly below
 * it release. A value that fluctuates around the ceiling, or falls because the copy is held, then does not stop and start the
 * copy every second. A guard that cannot measure holds too: a source that is too busy to answer must not be loaded.
 */
import type { GuardReport } from '../../contract/guard.ts';
import type { Measurement } from './measure.ts';

export const LOOKS_TO_HOLD = 2;
/** A single lost session or statement timeout does not hold. */
export const FAILURES_TO_HOLD = 3;
const LOOKS_TO_RELEASE = 5;
/** Fraction of the ceiling that the value must not exceed to release. */
const LOW_ENOUGH = 0.9;

export type Failing = NonNullable<GuardReport['failing']>;
export type Seen =
  | { readonly looks: readonly Measurement[] }
  | {
      readonly failing: Failing;
      /** The measure that failed; unset: none could be measured. */
      readonly what?: Pick<Measurement, 'measure' | 'ceiling'>;
    };

export class Hysteresis {
  #high = 0;
  #failures = 0;
  #low = 0;
  #holding = false;

  get holding(): boolean {
    return this.#holding;
  }

  /** Evaluates the newest measurement. @param first measure and ceiling to name when nothing could be measured. */
  observe(seen: Seen, first: Pick<GuardReport, 'measure' | 'ceiling'>): GuardReport {
    const worst = 'looks' in seen ? worstOf(seen.looks) : undefined;
    const isHigh = worst !== undefined && worst.value > worst.ceiling;
    const isLow =
      'looks' in seen && seen.looks.every((one) => one.value <= one.ceiling * LOW_ENOUGH);
    this.#high = isHigh ? this.#high + 1 : 0;
    this.#low = isLow ? this.#low + 1 : 0;
    this.#failures = 'failing' in seen ? this.#failures + 1 : 0;
    if (this.#holding) this.#holding = this.#low < LOOKS_TO_RELEASE;
    else this.#holding = this.#high >= LOOKS_TO_HOLD || this.#failures >= FAILURES_TO_HOLD;
    if ('failing' in seen) {
      const { what = first, failing } = seen;
      return { ...what, holding: this.#holding, value: null, failing };
    }
    const { measure, ceiling, value } = worst ?? { ...first, value: 0 };
    return { holding: this.#holding, measure, ceiling, value };
  }
}

/** The measurement furthest above its ceiling, relative to the ceiling. */
function worstOf(looks: readonly Measurement[]): Measurement | undefined {
  const part = ({ value, ceiling }: Measurement): number =>
    ceiling === 0 ? (value > 0 ? Infinity : 0) : value / ceiling;
  return [...looks].sort((a, b) => part(b) - part(a))[0];
}
