/**
 * The replication connection: one ordered queue over `pg-logical-replication`, whose defaults are not used. Each of them
 * was seen to lose data:
 * - Its timer and its automatic mode confirm what was *received*. Both are off; our own timer sends the *confirmed* LSN.
 * - `acknowledge(x)` sends x + 1, and an LSN one too high loses the next transaction. It gets L - 1.
 * - Without an LSN it starts where the last subscription stopped. Every start names L.
 * - With flow control, keepalives overtake queued data; without it, nothing slows the sender. Here keepalives and data go
 *   into one queue, and the socket is paused while the queue is full.
 * - After a handler has thrown, the next message still arrives. Nothing is taken after the first failure.
 *
 * A failure keeps its place in the queue: everything received before it can still be applied.
 */
import { createRequire } from 'node:module';
import type pg from 'pg';
import type * as Library from 'pg-logical-replication';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, formatLsn, lsnToBigInt, parseLsn, type Lsn } from '../../contract/lsn.ts';
import { isWarning } from '../connection/notice.ts';
import { clientConfig, pinNewer } from '../connection/connect.ts';
import { renderOptions } from '../wal2json/plugin-options.ts';
import { Fifo } from './queue.ts';
import { WalSplitter } from './splitter.ts';
import { Line } from './line-store.ts';
import { LIMITS, sessionOptions, type ReaderLimits, type ReaderOptions } from './reader-options.ts';
import { recognize } from './recognize.ts';
import { keyUnreadFailure, startFailure, streamFailure, warningFailure } from './stream-failure.ts';
import { backendPidOf, divert, socketOf, type Socket } from '../connection/socket.ts';
import { within } from './deadline.ts';
import { isKeyUnread, unsentOf, type Unsent } from './warning.ts';

// The library is CommonJS; its types describe a default export that Node's ESM loader exposes differently.
const { LogicalReplicationService } = createRequire(import.meta.url)(
  'pg-logical-replication',
) as typeof Library;

/** The server answers START_REPLICATION before it decodes anything. A later answer means a server in trouble. */
const START_MS = 30_000;
/** Stopping only destroys a socket. */
const STOP_MS = 5_000;
/** Memory of a queued message in addition to its text. Without it, a queue of short messages would need twice what it counts. */
const ITEM_BYTES = 160;

export type StreamItem =
  | Line
  /** `sentAt`: the source's clock, milliseconds since 1970. */
  | { readonly kind: 'keepalive'; readonly lsn: Lsn; readonly sentAt: number }
  | Unsent;

export class ReplicationReader implements AsyncDisposable {
  readonly #service: Library.LogicalReplicationService;
  readonly #options: ReaderOptions;
  readonly #limits: ReaderLimits;
  readonly #queue = new Fifo<StreamItem>();
  #queuedBytes = 0;
  #confirmed: Lsn;
  #received: Lsn;
  /** The latest message, if it is newer than {@link #received}. */
  #newest: Line | null = null;
  #socket: Socket | null = null;
  #client: pg.Client | null = null;
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
    const config = clientConfig(options.service, 'stream');
    this.#service = new LogicalReplicationService(
      { ...config, options: `${config.options ?? ''} ${sessionOptions(this.#limits)}` },
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
    );
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

  /** LSN of the latest message or keepalive. */
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

  /** Whether messages are queued. */
  get waiting(): boolean {
    return this.#queuedBytes > 0;
  }

  /** The walsender's process id on the source. */
  get backendPid(): number | null {
    return this.#client === null ? null : backendPidOf(this.#client);
  }

  /** Confirms the LSN: the source may remove all WAL before it. Only for an LSN that the target has stored. */
  confirm(lsn: Lsn): void {
    if (compareLsn(lsn, this.#confirmed) > 0) this.#confirmed = lsn;
    this.#sendStatus(false);
  }

  /** Closes the connection. Nothing is delivered afterwards. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#wake?.();
    // A paused socket never reports its end.
    this.#socket?.resume();
    await within(STOP_MS, this.#service.stop()).catch(() => undefined);
    // The library has removed its listeners; a late error must not end the process.
    this.#client?.on('error', ignore);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #start(): Promise<void> {
    const { slot, start, plugin } = this.#options;
    const service = this.#service;
    service.on('error', (error) => this.#fail(streamFailure(error, this.receivedLsn)));
    service.on('heartbeat', (lsn, sentAt, asked) => this.#keepalive(lsn, sentAt, asked));
    const started = new Promise<void>((resolve) => service.on('start', resolve));
    const subscription = service
      .subscribe(this.#plugin(renderOptions(plugin)), slot, start)
      // The library ignores a connection that ends on its own. An end that we did not request is a failure.
      .then(() => {
        throw new Error('Connection terminated');
      });
    subscription.catch((error: unknown) => this.#fail(streamFailure(error, this.receivedLsn)));
    try {
      await within(START_MS, Promise.race([started, subscription]));
    } catch (error) {
      throw startFailure(error, slot, this.#client !== null);
    }
    this.#heardAt = performance.now();
    this.#sendStatus(true);
    const every = Math.max(
      20,
      Math.min(1_000, this.#limits.statusMs / 2, this.#limits.stallMs / 4),
    );
    this.#timer = setInterval(() => this.#tick(), every);
  }

  /** A plugin as the library defines it. The library's wal2json plugin would pass numbers through JSON.parse. */
  #plugin(rendered: string): Parameters<Library.LogicalReplicationService['subscribe']>[0] {
    return {
      options: {},
      name: 'wal2json',
      start: async (client, slot, lsn) => {
        this.#client = client;
        this.#socket = socketOf(client);
        // A role's `transaction_timeout` would repeatedly end the walsender in the middle of the stream.
        await pinNewer(client);
        client.on('notice', (notice) => {
          // The plugin omits changes without a replica identity and sends a WARNING instead, between B and C.
          if (isWarning(notice)) this.#warning(notice.code, notice.message);
        });
        this.#divert(this.#socket);
        const command = `START_REPLICATION SLOT "${slot}" LOGICAL ${lsn} ${rendered}`;
        return recognize(client, this.#options).then(() => client.query(command));
      },
      parse: () => {
        throw new Error('data messages bypass the library');
      },
    };
  }

  /** Reads data messages before the driver and the library do, because those would take most of the CPU time. */
  #divert(socket: Socket): void {
    const splitter = new WalSplitter({
      line: (bytes, from, to, high, low) => this.#take(new Line(bytes, from, to, high, low)),
      other: divert(socket, (read) => {
        this.#heardAt = performance.now();
        try {
          splitter.push(read);
          if (splitter.inside) this.#parts += 1;
        } catch (error) {
          const short = error instanceof RangeError;
          const at = this.receivedLsn;
          this.#fail(
            short ? malformed('a data message without a header', at) : streamFailure(error, at),
          );
        }
        this.#wake?.();
      }).toDriver,
    });
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
    this.#socket?.pause();
  }

  #resume(): void {
    this.#paused = false;
    this.#heardAt = performance.now();
    this.#socket?.resume();
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
    const below = lsnToBigInt(this.#confirmed) - 1n; // the library adds one
    if (below < 0n) return;
    this.#service.acknowledge(formatLsn(below), ask).catch((error: unknown) => {
      this.#fail(streamFailure(error, this.receivedLsn));
    });
  }

  #fail(error: unknown): void {
    if (this.#failure !== null || this.#stopped) return;
    this.#failure = error;
    this.#wake?.();
    this.#failed?.();
  }
}

function malformed(what: string, lsn: Lsn): MigrationError {
  return new MigrationError('StreamMalformed', `the stream sent ${what} after ${lsn}`, { lsn });
}

function asError(failure: unknown): Error {
  return failure instanceof Error ? failure : new Error('the stream failed', { cause: failure });
}

function ignore(): void {
  // The connection is closed: its errors no longer matter.
}
