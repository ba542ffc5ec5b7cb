/**
 * The replication connection over `pg-logical-replication`, whose defaults are not used. Each of them was seen to lose data:
 * - Its timer and its automatic mode confirm what was *received*. Both are off; our own timer sends the *confirmed* LSN.
 * - `acknowledge(x)` sends x + 1, and an LSN one too high loses the next transaction. It gets L - 1.
 * - Without an LSN it starts where the last subscription stopped. Every start names L.
 * - With flow control, keepalives overtake queued data; without it, nothing slows the sender. Here the reader queues both in
 *   order, and the socket is paused while its queue is full.
 */
import { createRequire } from 'node:module';
import type pg from 'pg';
import type * as Library from 'pg-logical-replication';
import { formatLsn, lsnToBigInt, type Lsn } from '../../contract/lsn.ts';
import { clientConfig, pinNewer } from '../connection/connect.ts';
import { isWarning } from '../connection/notice.ts';
import { backendPidOf, divert, socketOf, type Socket } from '../connection/socket.ts';
import { renderOptions } from '../wal2json/plugin-options.ts';
import { within } from './deadline.ts';
import { sessionOptions, type ReaderLimits, type ReaderOptions } from './reader-options.ts';
import { recognize } from './recognize.ts';
import { WalSplitter, type WalSinks } from './splitter.ts';
import { startFailure } from './stream-failure.ts';

// The library is CommonJS; its types describe a default export that Node's ESM loader exposes differently.
const { LogicalReplicationService } = createRequire(import.meta.url)(
  'pg-logical-replication',
) as typeof Library;

/** The server answers START_REPLICATION before it decodes anything. A later answer means a server in trouble. */
const START_MS = 30_000;
/** Stopping only destroys a socket. */
const STOP_MS = 5_000;

/** What arrives, in wire order. */
export interface Receiver {
  readonly line: WalSinks['line'];
  readonly keepalive: (lsn: string, sentAt: number, asked: boolean) => void;
  readonly warning: (code: string | undefined, message: string | undefined) => void;
  /** The socket has read something; `inside`: it ends in the middle of a message. Called after its lines, also when they were malformed. */
  readonly read: (inside: boolean) => void;
  /** @param short whether a data message was too short to have a header. */
  readonly failed: (error: unknown, short?: boolean) => void;
}

export class WalConnection {
  readonly #options: ReaderOptions;
  readonly #receiver: Receiver;
  readonly #service: Library.LogicalReplicationService;
  #socket: Socket | null = null;
  #client: pg.Client | null = null;

  constructor(options: ReaderOptions, limits: ReaderLimits, receiver: Receiver) {
    this.#options = options;
    this.#receiver = receiver;
    const config = clientConfig(options.service, 'stream');
    this.#service = new LogicalReplicationService(
      { ...config, options: `${config.options ?? ''} ${sessionOptions(limits)}` },
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
    );
  }

  async start(): Promise<void> {
    const { slot, start, plugin } = this.#options;
    const { keepalive, failed } = this.#receiver;
    const service = this.#service;
    service.on('error', (error) => failed(error));
    service.on('heartbeat', keepalive);
    const started = new Promise<void>((resolve) => service.on('start', resolve));
    const subscription = service
      .subscribe(this.#plugin(renderOptions(plugin)), slot, start)
      // The library ignores a connection that ends on its own. An end that we did not request is a failure.
      .then(() => {
        throw new Error('Connection terminated');
      });
    subscription.catch((error: unknown) => failed(error));
    try {
      await within(START_MS, Promise.race([started, subscription]));
    } catch (error) {
      throw startFailure(error, slot, this.#client !== null);
    }
  }

  get backendPid(): number | null {
    return this.#client === null ? null : backendPidOf(this.#client);
  }

  /** Sends the confirmed LSN. @param ask whether the server must answer. */
  async acknowledge(confirmed: Lsn, ask: boolean): Promise<void> {
    const below = lsnToBigInt(confirmed) - 1n; // the library adds one
    if (below >= 0n) await this.#service.acknowledge(formatLsn(below), ask);
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  async stop(): Promise<void> {
    // A paused socket never reports its end.
    this.#socket?.resume();
    await within(STOP_MS, this.#service.stop()).catch(() => undefined);
    // The library has removed its listeners; a late error must not end the process.
    this.#client?.on('error', ignore);
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
          if (isWarning(notice)) this.#receiver.warning(notice.code, notice.message);
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
    const { line, read, failed } = this.#receiver;
    const splitter = new WalSplitter({
      line,
      other: divert(socket, (bytes) => {
        try {
          splitter.push(bytes);
        } catch (error) {
          failed(error, error instanceof RangeError);
        }
        read(splitter.inside);
      }).toDriver,
    });
  }
}

function ignore(): void {
  // The connection is closed: its errors no longer matter.
}
