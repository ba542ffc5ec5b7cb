/**
 * Reads the stream into one ordered queue: keepalives and data together, with the socket paused while the queue is full. A failure
 * keeps its place in the queue: everything received before it can still be applied, and nothing is taken after it.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import { Fifo } from './queue.ts';
import { Line } from './line-store.ts';
import { LIMITS, type ReaderLimits, type ReaderOptions } from './reader-options.ts';
import { keyUnreadFailure, streamFailure, warningFailure } from './stream-failure.ts';
import { WalConnection } from './wal-connection.ts';
import { isKeyUnread, unsentOf, type Unsent } from './warning.ts';

/** Memory of a queued message in addition to its text. Without it, a queue of short messages would need twice what it counts. */
const ITEM_BYTES = 160;

export type StreamItem =
  | Line
  /** `sentAt`: the source's clock, milliseconds since 1970. */
  | { readonly kind: 'keepalive'; readonly lsn: Lsn; readonly sentAt: number }
  | Unsent;

export class ReplicationReader implements AsyncDisposable {
  readonly #connection: WalConnection;
  readonly #options: ReaderOptions;
  readonly #limits: ReaderLimits;
  readonly #queue = new Fifo<StreamItem>();
  #queuedBytes = 0;
  #confirmed: Lsn;
  #received: Lsn;
  /** The latest message, if it is newer than {@link #received}. */
  #newest: Line | null = null;
  #paused = false;
  #stopped = false;
  #failure: unknown = null;
  #heardAt = performance.now();
  #statusAt = 0;
  #tickedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | null = null;
  #failed: (() => void) | null = null;
  #pauses = 0;
  #heard = 0;
  #parts = 0;

  private constructor(options: ReaderOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#confirmed = options.start;
    this.#received = options.start;
    this.#connection = new WalConnection(options, this.#limits, {
      line: (bytes, from, to, high, low) => this.#take(new Line(bytes, from, to, high, low)),
      keepalive: (lsn, sentAt, asked) => this.#keepalive(lsn, sentAt, asked),
      warning: (code, message) => this.#warning(code, message),
      read: (inside) => {
        this.#heardAt = performance.now();
        if (inside) this.#parts += 1;
        this.#wake?.();
      },
      failed: (error, short = false) => this.#fail(this.#failureOf(error, short)),
    });
  }

  /**
   * Connects and starts the stream at `options.start`.
   * @throws MigrationError `SlotBusy`, `SlotMissing`, `PluginRefused`, `Denied`, `Unreachable`.
   */
  static async open(options: ReaderOptions): Promise<ReplicationReader> {
    const reader = new ReplicationReader(options);
    try {
      await reader.#start();
    } catch (error) {
      await reader.stop();
      throw error;
    }
    return reader;
  }

  get receivedLsn(): Lsn {
    if (this.#newest !== null) this.#received = this.#newest.lsn;
    this.#newest = null;
    return this.#received;
  }

  /** Whether the stream has failed; messages received before the failure may still be in the queue. */
  get failed(): boolean {
    return this.#failure !== null;
  }

  /** Calls the listener as soon as the stream fails, also when nothing is taken from the queue; null removes it. */
  onFailure(listener: (() => void) | null): void {
    this.#failed = listener;
  }

  /** How often the socket was paused because the queue was full, for tests and logs. */
  get pauses(): number {
    return this.#pauses;
  }

  /**
   * The next item in wire order, or null when none has arrived yet.
   * @throws the failure that ended the stream, after everything before it was taken.
   */
  take(): StreamItem | null {
    const item = this.#queue.shift();
    if (item === undefined) {
      if (this.#failure !== null) throw asError(this.#failure);
      return null;
    }
    if (item.kind === 'message') this.#queuedBytes -= item.length + ITEM_BYTES;
    if (this.#paused && this.#queuedBytes < this.#limits.queueBytes / 2) this.#resume();
    return item;
  }

  /** Resolves when an item or a failure is available, or after `ms`. */
  async ready(ms: number): Promise<void> {
    if (this.#queue.length > 0 || this.#failure !== null || this.#stopped) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        if (this.#wake === done) this.#wake = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
    });
  }

  /** Ends a waiting {@link ready} at once, because its caller has other work. */
  nudge(): void {
    this.#wake?.();
  }

  /** Counts messages and keepalives that arrived: proof that the connection is alive. */
  get heard(): number {
    return this.#heard;
  }

  /** Counts reads of an incomplete message: a large one may take minutes, without any keepalive until its end. */
  get parts(): number {
    return this.#parts;
  }

  get waiting(): boolean {
    return this.#queuedBytes > 0;
  }

  get backendPid(): number | null {
    return this.#connection.backendPid;
  }

  /** Confirms the LSN: the source may remove all WAL before it. Only for an LSN that the target has stored. */
  confirm(lsn: Lsn): void {
    if (compareLsn(lsn, this.#confirmed) > 0) this.#confirmed = lsn;
    this.#sendStatus(false);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#wake?.();
    await this.#connection.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #start(): Promise<void> {
    await this.#connection.start();
    this.#heardAt = performance.now();
    this.#sendStatus(true);
    const every = Math.max(
      20,
      Math.min(1_000, this.#limits.statusMs / 2, this.#limits.stallMs / 4),
    );
    this.#timer = setInterval(() => this.#tick(), every);
  }

  #take(line: Line): void {
    this.#heard += 1;
    if (this.#failure !== null || this.#stopped) return;
    this.#newest = line;
    this.#queuedBytes += line.length + ITEM_BYTES;
    this.#queue.push(line);
    if (!this.#paused && this.#queuedBytes > this.#limits.queueBytes) this.#pause();
  }

  #keepalive(lsn: string, sentAt: number, asked: boolean): void {
    this.#heardAt = performance.now();
    this.#heard += 1;
    if (this.#failure !== null || this.#stopped) return;
    const position = parseLsn(lsn);
    if (compareLsn(position, this.receivedLsn) > 0) this.#received = position;
    this.#queue.push({ kind: 'keepalive', lsn: position, sentAt });
    // The server ends the connection when its request gets no answer, however full the queue is.
    if (asked) this.#sendStatus(false);
    this.#wake?.();
  }

  #warning(code: string | undefined, message: string | undefined): void {
    const unsent = this.#options.unsent === 'deliver' ? unsentOf(message) : null;
    if (isKeyUnread(message)) this.#fail(keyUnreadFailure(this.receivedLsn));
    else if (unsent === null) this.#fail(warningFailure(code, this.receivedLsn));
    else if (this.#failure === null && !this.#stopped) this.#queue.push(unsent);
    this.#wake?.();
  }

  #pause(): void {
    this.#paused = true;
    this.#pauses += 1;
    this.#connection.pause();
  }

  #resume(): void {
    this.#paused = false;
    this.#heardAt = performance.now();
    this.#connection.resume();
  }

  #tick(): void {
    const now = performance.now();
    // A process that was stopped for a while has heard nothing either: data that arrived since then is still unread.
    if (now - this.#tickedAt > this.#limits.stallMs / 2) this.#heardAt = now;
    this.#tickedAt = now;
    if (this.#failure !== null) return;
    const silentMs = now - this.#heardAt;
    // Under back-pressure we cause the silence.
    if (!this.#paused && silentMs > this.#limits.stallMs) {
      const seconds = Math.round(silentMs / 1000);
      this.#fail(
        new MigrationError(
          'Stalled',
          `neither data nor a keepalive arrived from "${this.#options.service}" for ${seconds} s`,
          { lsn: this.receivedLsn, slot: this.#options.slot },
        ),
      );
      return;
    }
    // Our frequent status updates leave an idle server no reason to send keepalives: request one as a sign of life.
    if (now - this.#statusAt >= this.#limits.statusMs) {
      this.#sendStatus(silentMs >= this.#limits.statusMs / 2);
    }
  }

  #sendStatus(ask: boolean): void {
    if (this.#stopped) return;
    this.#statusAt = performance.now();
    this.#connection.acknowledge(this.#confirmed, ask).catch((error: unknown) => {
      this.#fail(streamFailure(error, this.receivedLsn));
    });
  }

  #failureOf(error: unknown, short: boolean): MigrationError {
    const lsn = this.receivedLsn;
    if (!short) return streamFailure(error, lsn);
    return new MigrationError(
      'StreamMalformed',
      `the stream sent a data message without a header after ${lsn}`,
      { lsn },
    );
  }

  #fail(error: unknown): void {
    if (this.#failure !== null || this.#stopped) return;
    this.#failure = error;
    this.#wake?.();
    this.#failed?.();
  }
}

function asError(failure: unknown): Error {
  return failure instanceof Error ? failure : new Error('the stream failed', { cause: failure });
}
