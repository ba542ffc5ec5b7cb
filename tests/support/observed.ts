/**
 * A promise whose rejection is read later. Without this, one that rejects before the test awaits it counts as
 * unhandled and fails the whole run, on a machine that is fast or slow enough.
 */
export function observed<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
