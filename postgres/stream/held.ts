/** Things that are open and closed together, or handed on together: what `await using` alone cannot do. */
export class Held implements AsyncDisposable {
  #open: AsyncDisposable[] = [];

  /** Takes over closing it. */
  add<T extends AsyncDisposable>(one: T): T {
    this.#open.push(one);
    return one;
  }

  /** @returns everything, for another owner; this one closes nothing any more. */
  move(): Held {
    const moved = new Held();
    moved.#open = this.#open;
    this.#open = [];
    return moved;
  }

  /** In reverse order; each one, whatever became of the others. @throws the first failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (let one = this.#open.pop(); one; one = this.#open.pop()) {
      try {
        await one[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
