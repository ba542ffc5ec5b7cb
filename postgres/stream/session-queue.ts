/** Queries of several callers on one session, one after another. */

/** Runs tasks one after another: the driver wants its callers to queue queries. */
export function turns(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const mine = last.then(task);
    last = mine.catch(() => undefined);
    return mine;
  };
}
