/** Options and limits of the replication reader. */
import type { Lsn } from '../../contract/lsn.ts';
import type { Identity } from '../identity/identity.ts';

export interface ReaderOptions {
  readonly service: string;
  /** Identity that the server must have; null if unknown (a control schema of an earlier version). */
  readonly server: Identity | null;
  readonly slot: string;
  /** The stored LSN. The stream starts there, and it is the confirmed LSN until the first `confirm`. */
  readonly start: Lsn;
  /** Options of the output plugin, from `pluginOptions`. */
  readonly plugin: Readonly<Record<string, string>>;
  readonly limits?: Partial<ReaderLimits>;
  /** Deliver changes that the plugin did not send (it warns) as items instead of failing: the caller may ignore that table. */
  readonly unsent?: 'deliver';
}

export interface ReaderLimits {
  /** Memory of the queue at which the socket is paused: enough for the next batch while one is applied. */
  readonly queueBytes: number;
  /** Interval of status updates to the source, also under back-pressure: well below its timeout. */
  readonly statusMs: number;
  /**
   * `wal_sender_timeout` of this session: a server that lost the connection ends the walsender and frees the slot. Within a huge
   * transaction of which nothing is selected, the only sign of life are keepalives at half of this interval.
   */
  readonly senderTimeoutMs: number;
  /** Without data or a keepalive for this time, although one was requested, the connection counts as dead. */
  readonly stallMs: number;
}

export const LIMITS: ReaderLimits = {
  queueBytes: 2 * 1024 * 1024,
  statusMs: 2_000,
  senderTimeoutMs: 12_000,
  stallMs: 60_000,
};

/** Server settings of the replication session, in addition to the pinned ones. */
export function sessionOptions(limits: ReaderLimits): string {
  return `-c wal_sender_timeout=${limits.senderTimeoutMs}`;
}
