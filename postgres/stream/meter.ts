/**
 * How far the stream is and how fast: numbers for people, decided from outside the stream itself. The lag is measured
 * against the source's flush position (keepalives of a source that is behind with decoding would flatter it), by its clock.
 */
import type pg from 'pg';
import { compareLsn, lsnDistance, parseLsn, type Lsn } from '../../contract/lsn.ts';

/** The flush position may stand behind the header of a page that holds no record yet; the stream never gets there. */
const PAGE_HEADER_BYTES = 64;

export class Meter {
  readonly #startedAt = performance.now();
  #flushed: Lsn | null = null;
  #flushedFirst: Lsn | null = null;
  /** Source's clock minus our monotonic one, milliseconds: the worker's own time of day plays no part, and may be set. */
  #clockOffset = 0;
  #appliedAt: number | null = null;
  #changes = 0;

  /** Asks the source for its flush position and clock. */
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

  /** Whether the position covers what the source had flushed when it was first asked. */
  caughtUpAt(position: Lsn): boolean {
    return (
      this.#flushedFirst !== null && lsnDistance(position, this.#flushedFirst) <= PAGE_HEADER_BYTES
    );
  }

  /** A batch was committed on the target; `committedAt` is the newest source commit in it. */
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
   * Age of what waits to be applied, seconds.
   * @param waiting commit time of it as the source printed it; null when unknown, then the newest applied commit counts.
   */
  lagSeconds(waiting: string | null): number {
    const since = waiting === null ? this.#appliedAt : commitTime(waiting);
    if (since === null || Number.isNaN(since)) return 0;
    return Math.max(0, Math.round((performance.now() + this.#clockOffset - since) / 100) / 10);
  }
}

/** Milliseconds since 1970 of `2026-01-31 12:00:00.123456+00`; NaN when it is not of that form. */
function commitTime(text: string): number {
  return Date.parse(`${text.replace(' ', 'T').replace(/\.(\d{3})\d*/, '.$1')}:00`);
}
