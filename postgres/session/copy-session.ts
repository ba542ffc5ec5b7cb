/**
 * COPY as queries of a `pg` client that do not touch the rows: the driver would create an object per row. Values are never read
 * here; errors, notices and row counts still pass through the driver.
 */
import type { Socket } from 'node:net';
import type pg from 'pg';
import { divert } from '../connection/socket.ts';
import { copyDataHeader, FrameSplitter } from './frames.ts';

/** The interface that the driver expects of a custom query; COPY uses no more of it. */
interface CopyQuery {
  submit(connection: pg.Connection): void;
  handleError(error: unknown): void;
  handleCommandComplete(message: { readonly text: string }): void;
  handleReadyForQuery(): void;
}

/** Bytes that may wait in this process, per session, before reading from the source pauses. */
const MOST_WAITING_BYTES = 256 * 1024;

const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4]);

/** `COPY … FROM STDIN` running on a client. */
export class CopyIn implements CopyQuery {
  readonly #text: string;
  #socket: Socket | undefined;
  #rows = 0;
  readonly #started = promised<undefined>();
  readonly #ended = promised<number>();

  private constructor(text: string) {
    this.#text = text;
  }

  /** Sends the command and waits until the server is ready for data. @throws the server's error. */
  static async start(client: pg.Client, text: string): Promise<CopyIn> {
    const copy = new CopyIn(text);
    client.query(copy);
    await copy.#started.promise;
    return copy;
  }

  /** Resolves to the number of rows that arrived; may reject with the server's error at any time. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  /** Where CopyData messages go. */
  get socket(): Socket {
    if (!this.#socket) throw new Error('COPY was not submitted');
    return this.#socket;
  }

  /** No more data. */
  done(): void {
    this.socket.write(COPY_DONE);
  }

  submit(connection: pg.Connection): void {
    this.#socket = connection.stream as Socket;
    connection.query(this.#text);
  }

  handleCopyInResponse(): void {
    this.#started.resolve(undefined);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#rows = rowsOf(text);
  }

  handleReadyForQuery(): void {
    this.#ended.resolve(this.#rows);
  }

  handleError(error: unknown): void {
    this.#started.reject(error);
    this.#ended.reject(error);
  }
}

/** Called with the bytes of rows that just passed. @returns null to continue, or when to resume reading. */
export type Passed = (bytes: number) => Promise<void> | null;

/** `COPY … TO STDOUT` running on a client: its data is passed to a socket as it arrives, one message per read. */
export class CopyOut implements CopyQuery {
  readonly #text: string;
  readonly #into: Socket;
  readonly #passed: Passed;
  readonly #ended = promised<number>();
  #rows = 0;
  #restore = (): void => undefined;

  private constructor(text: string, into: Socket, passed: Passed) {
    this.#text = text;
    this.#into = into;
    this.#passed = passed;
  }

  /**
   * Sends the command and passes the data on. A slow receiver slows the sending server, and so does a pause requested by
   * `passed`.
   * @returns the number of rows sent. @throws the server's error.
   */
  static run(client: pg.Client, text: string, into: Socket, passed: Passed): Promise<number> {
    const copy = new CopyOut(text, into, passed);
    client.query(copy);
    return copy.#ended.promise;
  }

  submit(connection: pg.Connection): void {
    this.#divert(connection.stream as Socket);
    connection.query(this.#text);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#rows = rowsOf(text);
  }

  handleReadyForQuery(): void {
    this.#restore();
    this.#ended.resolve(this.#rows);
  }

  handleError(error: unknown): void {
    this.#restore();
    this.#ended.reject(error);
  }

  /** Removes the rows before the driver sees them; everything else goes to the driver's listeners, in order. */
  #divert(from: Socket): void {
    const into = this.#into;
    let moved = 0;
    const splitter = new FrameSplitter({
      copyData: (piece) => {
        moved += piece.length;
        // After an error on the target its socket may be gone; the other query reports the error.
        if (into.destroyed) return;
        into.cork();
        into.write(copyDataHeader(piece.length));
        into.write(piece);
        into.uncork();
      },
      other: (piece) => diverted.toDriver(piece),
    });
    // Both may pause at once; reading resumes when neither does.
    const held = { byReceiver: false, byLimit: false };
    let ended = false;
    const resume = (): void => {
      // Not after the end: the socket then belongs to the next query.
      if (!ended && !held.byReceiver && !held.byLimit) from.resume();
    };
    const drained = (): void => {
      held.byReceiver = false;
      resume();
    };
    const take = (read: Buffer): void => {
      splitter.push(read);
      const allowed = this.#passed(moved);
      moved = 0;
      // The end of the copy was in this read.
      if (ended) return;
      if (allowed !== null && !held.byLimit) {
        held.byLimit = true;
        from.pause();
        void allowed.then(() => {
          held.byLimit = false;
          resume();
        });
      }
      // Ignores the result of write(): it is false for any read of this size, even when all of it was sent at once.
      if (held.byReceiver || into.destroyed || into.writableLength <= MOST_WAITING_BYTES) return;
      held.byReceiver = true;
      from.pause();
      into.once('drain', drained);
    };
    into.once('close', drained);
    this.#restore = () => {
      this.#restore = () => undefined;
      ended = true;
      into.removeListener('drain', drained);
      into.removeListener('close', drained);
      diverted.restore();
      from.resume();
    };
    const diverted = divert(from, take);
  }
}

function rowsOf(tag: string): number {
  return Number(/^COPY (\d+)$/.exec(tag)?.[1] ?? Number.NaN);
}

interface Promised<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function promised<T>(): Promised<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  // Both of a query's promises may fail while only one is awaited.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
