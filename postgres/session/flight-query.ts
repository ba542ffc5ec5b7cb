/** A flight as the driver sees it: it sends the bytes and counts the answers. */
import type { Socket } from 'node:net';
import type pg from 'pg';

/** A statement of a flight failed. */
export class FlightFailed extends Error {
  override readonly name = 'FlightFailed';
  /** Index of the statement that failed, from 0. */
  readonly statement: number;

  constructor(statement: number, cause: unknown) {
    super('a statement of a batch failed', { cause });
    this.statement = statement;
  }
}

export class FlightQuery {
  readonly #pieces: readonly Buffer[];
  readonly #counts: number[] = [];
  readonly answered: Promise<readonly number[]>;
  #resolve: (counts: readonly number[]) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  submit(connection: pg.Connection): void {
    const socket = connection.stream as Socket;
    socket.cork();
    for (const piece of this.#pieces) socket.write(piece);
    socket.uncork();
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#counts.push(Number(/ (\d+)$/.exec(text)?.[1] ?? 0));
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#counts);
  }

  handleError(error: unknown): void {
    this.#reject(new FlightFailed(this.#counts.length, error));
  }

  handleCopyInResponse(): void {
    // Its rows are already sent.
  }

  handleDataRow(): void {
    // Only row counts are needed.
  }

  handleRowDescription(): void {
    // As above.
  }

  handleEmptyQuery(): void {
    this.#counts.push(0);
  }
}
