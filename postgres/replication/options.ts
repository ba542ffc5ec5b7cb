/** What a reader of the stream is opened with, and the limits it works within. */
import type { Lsn } from '../../contract/lsn.ts';
import type { Identity } from '../identity/identity.ts';

export interface ReaderOptions {
  readonly service: string;
  /** The server that the walsender must be; null if unknown (a control schema of an earlier version). */
  readonly server: Identity | null;
  readonly slot: string;
  /** The stored LSN: the stream starts there, and it is what the source is told until its `confirm`. */
  readonly start: Lsn;
  /** Options of the output plugin, from `pluginOptions`. */
  readonly plugin: Readonly<Record<string, string>>;
  readonly limits?: Partial<ReaderLimits>;
  /** Deliver a change that was not sent (the plugin warns), or cannot be read, as an item, for a caller who may not want it. */
  readonly unsent?: 'deliver';
}

export interface ReaderLimits {
  /** Memory of what waits in the queue before the socket is paused: enough for the next batch while one is applied. */
  readonly queueBytes: number;
  /** How often the source hears of us, also under back-pressure: well below its timeout. */
  readonly statusMs: number;
  /**
   * `wal_sender_timeout` of this session: a server that lost us ends the walsender and frees the slot. In the middle of a
   * huge transaction of which nothing is selected, keepalives come at half of it, and they are all that shows life then.
   */
  readonly senderTimeoutMs: number;
  /** Neither data nor keepalive for so long, although we asked: the connection is dead. */
  readonly stallMs: number;
}

export const LIMITS: ReaderLimits = {
  queueBytes: 2 * 1024 * 1024,
  statusMs: 2_000,
  senderTimeoutMs: 12_000,
  stallMs: 60_000,
};

/** Server settings of the replication session, beside the pinned ones. */
export function sessionOptions(limits: ReaderLimits): string {
  return `-c wal_sender_timeout=${limits.senderTimeoutMs}`;
}
