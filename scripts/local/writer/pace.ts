/** Keeps all connections together at a number of changes per second. */
import { setTimeout as sleep } from 'node:timers/promises';

/** After a pause of the database the missed changes are not made up for in one burst. */
const LONGEST_DEBT_MS = 500;
const LOOK_AGAIN_MS = 5;

export class Pace {
  readonly #perMs: number;
  #budget = 0;
  #last = performance.now();

  /** @param rate changes per second, above 0. */
  constructor(rate: number) {
    this.#perMs = rate / 1000;
  }

  /** Waits until the next transaction may begin, or `stop` is aborted. */
  async turn(stop: AbortSignal): Promise<void> {
    this.#refill();
    while (this.#budget <= 0 && !stop.aborted) {
      await sleep(LOOK_AGAIN_MS);
      this.#refill();
    }
  }

  /** Records how many changes a transaction made; the next ones wait for it. */
  did(changes: number): void {
    this.#budget -= changes;
  }

  #refill(): void {
    const now = performance.now();
    this.#budget = Math.min(
      this.#budget + (now - this.#last) * this.#perMs,
      LONGEST_DEBT_MS * this.#perMs,
    );
    this.#last = now;
  }
}
