/** Heartbeats of a run: sent only when bytes moved or a server answered, so that a run that is stuck is detected. */
import type { Work } from '../../contract/work.ts';

/** Several pieces arrive per millisecond; a few reports per second are enough. */
const BEAT_EVERY_MS = 500;

export class Progress {
  readonly #work: Work;
  readonly #began = performance.now();
  #beaten = -Infinity;
  #chunk = 0;
  #rows = 0;
  #bytes = 0;

  constructor(work: Work) {
    this.#work = work;
  }

  /** Rows of finished chunks. */
  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#bytes;
  }

  begin(chunk: number): void {
    this.#chunk = chunk;
  }

  finish(rows: number): void {
    this.#rows += rows;
    this.#beat({ table: null });
  }

  moved(table: string, bytes: number): void {
    this.#bytes += bytes;
    this.#beat({ table });
  }

  /** Another session has locked the table exclusively. */
  waiting(table: string): void {
    this.#beat({ table, waitingFor: 'a lock on the table' });
  }

  /** Waits on purpose: not a stall. */
  held(reason: string): void {
    this.#beat({ table: null, waitingFor: reason });
  }

  #beat(details: { table: string | null; waitingFor?: string }): void {
    const now = performance.now();
    if (now - this.#beaten < BEAT_EVERY_MS) return;
    this.#beaten = now;
    const seconds = Math.max(0.001, (now - this.#began) / 1000);
    this.#work.beat({
      ...details,
      chunk: this.#chunk,
      rows: this.#rows,
      bytes: this.#bytes,
      // Bytes per second since the run began.
      rate: Math.round(this.#bytes / seconds),
    });
  }
}
