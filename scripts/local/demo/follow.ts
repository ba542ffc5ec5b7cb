/** Shows the demo's migration on the screen while the script waits for a condition. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgressModel } from '../../watch/model.ts';
import type { Observer } from '../../watch/observer.ts';
import { isOpen, type Sample } from '../../watch/sample.ts';
import type { Screen } from '../../watch/screen.ts';

const SHOW_EVERY_MS = 500;
/** Chunks take a few hundred milliseconds: a longer interval would miss the moment for a kill. */
const CHECK_EVERY_MS = 60;

export class Follower implements AsyncDisposable {
  readonly #observer: Observer;
  readonly #screen: Screen;
  readonly #stop: AbortSignal;
  readonly #model = new ProgressModel();
  #sample: Sample | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = -Infinity;
  #failure: unknown;

  constructor(observer: Observer, screen: Screen, stop: AbortSignal) {
    this.#observer = observer;
    this.#screen = screen;
    this.#stop = stop;
  }

  /** The newest sample. */
  get sample(): Sample | undefined {
    return this.#sample;
  }

  /**
   * Shows progress until `check` gives something other than undefined.
   * @param what completes "waited 60 s for …".
   * @throws Error when the migration ends or waits for its operator, or when it takes too long.
   */
  async until<T>(
    what: string,
    seconds: number,
    check: (sample: Sample) => Promise<T | undefined> | T | undefined,
    ends: 'may end' | 'must not end' = 'must not end',
  ): Promise<T> {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      this.#stop.throwIfAborted();
      this.#look();
      const sample = this.#sample;
      if (sample) {
        const found = await check(sample);
        if (found !== undefined) return found;
        if (ends === 'must not end') await this.#expectAlive(sample);
      }
      if (this.#failure !== undefined) throw asError(this.#failure);
      if (performance.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`);
      await sleep(CHECK_EVERY_MS);
    }
  }

  /** Shows progress until the given work has ended. */
  async during<T>(work: Promise<T>): Promise<T> {
    let working = true;
    const ended = work.then(
      () => (working = false),
      () => (working = false),
    );
    while (working) {
      this.#look();
      await Promise.race([ended, sleep(CHECK_EVERY_MS)]);
    }
    return work;
  }

  /** To be awaited before the client's connection is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#looking;
    await this.#observer.settled();
  }

  async #expectAlive({ status, progress }: Sample): Promise<void> {
    if (!isOpen(status) && status !== 'CONTINUED_AS_NEW') {
      const { text } = await this.#observer.ending();
      throw new Error(`the migration ended (${status.toLowerCase()}): ${text}`);
    }
    if (progress?.waiting) {
      const { step, reason, action } = progress.waiting;
      throw new Error(`the migration waits for its operator at ${step}: ${reason} ${action}`);
    }
  }

  /** In the background: a slow answer of the server must not delay a check of the databases. */
  #look(): void {
    if (this.#looking || performance.now() - this.#lookedAt < SHOW_EVERY_MS) return;
    this.#lookedAt = performance.now();
    this.#looking = this.#observer
      .look()
      .then((sample) => {
        this.#sample = sample;
        this.#screen.show(this.#model.view(sample));
      })
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#looking = undefined;
      });
  }
}

function asError(failure: unknown): Error {
  return failure instanceof Error ? failure : new Error('the migration cannot be watched');
}
