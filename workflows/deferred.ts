/** A promise that the main workflow function settles and any number of update handlers await. */
import type { ApplicationFailure } from '@temporalio/workflow';

/**
 * Belongs to no cancellation scope: the caller of an update gets an answer even when the workflow is cancelled.
 * Settling it twice keeps the first answer.
 */
export class Deferred<T> {
  readonly promise: Promise<T>;
  #resolve: (value: T) => void = () => undefined;
  #reject: (failure: ApplicationFailure) => void = () => undefined;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // There may be no waiter, and an unhandled rejection would fail the workflow task forever.
    this.promise.catch(() => undefined);
  }

  give(value: T): void {
    this.#resolve(value);
  }

  refuse(failure: ApplicationFailure): void {
    this.#reject(failure);
  }
}
