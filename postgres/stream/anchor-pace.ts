/** How often a stream stands, over its restarts within one activity: an owner that keeps asking must not stop it. */
import { compareLsn, maxLsn, type Lsn } from '../../contract/lsn.ts';

export class AnchorPace {
  /** What anchors left out is before it. */
  #past: Lsn | null = null;
  #restUntil = 0;

  /** @param now milliseconds, from the same clock as in the other calls. */
  stood(ms: number, now: number): void {
    // Half of the time at most.
    this.#restUntil = now + ms;
  }

  /** An anchor at this position was tried. */
  tried(lsn: Lsn): void {
    this.#past = this.#past === null ? lsn : maxLsn(this.#past, lsn);
  }

  /** Whether the stream may stand here. Only past earlier anchors: otherwise what those left out would never be applied. */
  allows(applied: Lsn, now: number): boolean {
    return now >= this.#restUntil && (this.#past === null || compareLsn(applied, this.#past) >= 0);
  }
}
