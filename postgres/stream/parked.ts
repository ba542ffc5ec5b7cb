/**
 * Streams that stay open between two leases. To close everything at the end of a lease and open it again for the next one takes a
 * third of a second without any apply. So a worker keeps the sessions, the plan and the reader with its data for a moment. Only a
 * stream with nothing pending is parked (attempt.ts); the next lease decides whether it may continue (takeover.ts).
 *
 * While it is parked, nothing is applied and no new LSN is confirmed. The reader keeps its walsender alive and the slot in use;
 * another process ends it like any earlier attempt.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { TargetApplier } from '../apply/applier.ts';
import { cut } from '../connection/connect.ts';
import type { Barrier } from '../store/barrier.ts';
import type { Attempt } from '../store/epoch.ts';
import type { ReplicationReader } from '../replication/reader.ts';
import type { StreamOptions } from './stream-options.ts';
import type { ResourceStack } from './resource-stack.ts';
import type { StreamLoop } from './loop.ts';
import type { StreamPlan } from './stream-plan.ts';

/** The workflow needs some tens of milliseconds to start the next lease, longer on a busy server. */
const PARKED_MS = 2_000;

export interface OpenStream {
  readonly migration: Migration;
  readonly options: StreamOptions;
  readonly source: pg.Client;
  readonly applier: TargetApplier;
  readonly plan: StreamPlan;
  readonly reader: ReplicationReader;
  readonly numericAsText: boolean;
  readonly tablesPerBatch: number;
  readonly loop: StreamLoop;
  /** Its epoch and the target's checkpoint. */
  readonly attempt: Attempt;
  /** In force when it was parked; no one else can have written one as long as the epoch is the same. */
  readonly barrier: Barrier | null;
  /** When it was opened, on the clock of `performance.now()`. */
  readonly openedAt: number;
  /** Closes all of it. */
  readonly held: ResourceStack;
}

interface Parked {
  readonly stream: OpenStream;
  readonly close: () => void;
  readonly timer: NodeJS.Timeout;
}

/** The parked streams of one worker process. */
export class ParkedStreams {
  readonly #byMigration = new Map<string, Parked>();
  readonly #closing = new Set<Promise<void>>();
  readonly #ms: number;

  /** @param ms how long a stream stays open when no lease takes it; tests wait less. */
  constructor(ms = PARKED_MS) {
    this.#ms = ms;
  }

  /** Keeps the stream until it is taken; closes it after a timeout, or as soon as one of its connections fails. */
  park(stream: OpenStream): void {
    const { id } = stream.migration;
    // Two attempts may overlap in one process. Only one of them can be the latest; the target decides.
    this.#byMigration.get(id)?.close();
    const close = (): void => {
      if (this.take(stream.migration) === stream) this.#close(stream);
    };
    const timer = setTimeout(close, this.#ms);
    this.#byMigration.set(id, { stream, close, timer });
    stream.source.once('end', close);
    stream.applier.client.once('end', close);
    stream.reader.onFailure(close);
    if (stream.reader.failed) close();
  }

  /** @returns the migration's stream, if there is one; the caller owns it from now on. */
  take({ id }: Pick<Migration, 'id'>): OpenStream | null {
    const parked = this.#byMigration.get(id);
    if (!parked) return null;
    const { stream, close, timer } = parked;
    this.#byMigration.delete(id);
    clearTimeout(timer);
    stream.source.off('end', close);
    stream.applier.client.off('end', close);
    stream.reader.onFailure(null);
    return stream;
  }

  /** Closes all of them, for the end of the process. */
  async closeAll(): Promise<void> {
    for (const { close } of this.#byMigration.values()) close();
    await Promise.all(this.#closing);
  }

  #close({ held, source, applier }: OpenStream): void {
    // They have no open transaction, and a regular close waits for a server that may be gone.
    cut(source);
    cut(applier.client);
    // A connection that fails here is closed already.
    const closing = held[Symbol.asyncDispose]().catch(() => undefined);
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }
}
