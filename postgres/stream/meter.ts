/**
 * Position and speed of the stream, as numbers for people. The lag is measured against the source's flush position, because
 * keepalives of a source that is behind with decoding would show too little, and with the source's clock.
 */
import type pg from 'pg';
import { compareLsn, lsnDistance, parseLsn, type Lsn } from '../../contract/lsn.ts';

/** The flush position may be after the header of a page without records yet; the stream never reaches it. */
const PAGE_HEADER_BYTES = 64;

export class Meter {
  readonly #startedAt = performance.now();
  #flushed: Lsn | null = null;
  #flushedFirst: Lsn | null = null;
  /** The source's clock minus our monotonic one, milliseconds: the worker's wall clock is not used, so it may be changed. */
  #clockOffset = 0;
  #appliedAt: number | null = null;
  #changes = 0;

  /** Queries the source's flush position and clock. */
  async measure(source: pg.ClientBase): Promise<void> {
    const { rows } = await source.query<{
      flushed: string;
      now: string;
    }>(/* sql */ `select pg_current_wal_flush_lsn()::text as flushed,
                        (extract(epoch from clock_timestamp()) * 1000)::bigint::text as now`);
    const row = rows[0];
    if (!row) return;
    this.#flushed = parseLsn(row.flushed);
    this.#flushedFirst ??= this.#flushed;
    this.#clockOffset = Number(row.now) - performance.now();
  }

  /** Whether the position covers everything that the source had flushed at the first query. */
  caughtUpAt(position: Lsn): boolean {
    return (
      this.#flushedFirst !== null && lsnDistance(position, this.#flushedFirst) <= PAGE_HEADER_BYTES
    );
  }

  /** A batch was committed on the target; `committedAt` is the time of its latest source commit. */
  applied(changes: number, committedAt: string | null): void {
    this.#changes += changes;
    const at = committedAt === null ? NaN : commitTime(committedAt);
    if (!Number.isNaN(at)) this.#appliedAt = at;
  }

  /** Changes applied per second since the lease began. */
  get rate(): number {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    return seconds <= 0 ? 0 : Math.round(this.#changes / seconds);
  }

  lagBytes(confirmed: Lsn, received: Lsn): number {
    const end =
      this.#flushed !== null && compareLsn(this.#flushed, received) > 0 ? this.#flushed : received;
    return Math.max(0, lsnDistance(confirmed, end));
  }

  /**
   * Age of the oldest change that waits to be applied, seconds.
   * @param waiting its commit time as the source printed it; null if unknown: then the latest applied commit counts.
   */
  lagSeconds(waiting: string | null): number {
    const since = waiting === null ? this.#appliedAt : commitTime(waiting);
    if (since === null || Number.isNaN(since)) return 0;
    return Math.max(0, Math.round((performance.now() + this.#clockOffset - since) / 100) / 10);
  }
}

/** Milliseconds since 1970 of `2026-01-31 12:00:00.123456+00`; NaN for any other format. */
function commitTime(text: string): number {
  return Date.parse(`${text.replace(' ', 'T').replace(/\.(\d{3})\d*/, '.$1')}:00`);
}
