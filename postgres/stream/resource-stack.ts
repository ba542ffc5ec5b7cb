/** Resources that are closed together or passed on together, which `await using` alone cannot do. */
export class ResourceStack implements AsyncDisposable {
  #open: AsyncDisposable[] = [];

  /** From now on, this object closes the resource. */
  add<T extends AsyncDisposable>(one: T): T {
    this.#open.push(one);
    return one;
  }

  /** @returns all resources, for a new owner; this object no longer closes them. */
  move(): ResourceStack {
    const moved = new ResourceStack();
    moved.#open = this.#open;
    this.#open = [];
    return moved;
  }

  /** Closes all in reverse order, also after failures. @throws the first failure. */
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
