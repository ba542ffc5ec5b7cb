/**
 * How the lag developed within a lease: the workflow hears of a stream only when it ends, so its heartbeats are sampled here and
 * returned with its result. Bounded: the interval between two samples doubles when there are too many.
 */
import type { Heartbeat, LeaseReport, StreamReport, Work } from '../contract/work.ts';

type LeaseSamples = NonNullable<LeaseReport['lag']>;

/** Each is some 60 bytes of history. */
const MOST = 24;
const FIRST_EVERY_MS = 2_000;
const MS_PER_SECOND = 1000;

interface Taken {
  /** Of performance.now(). */
  readonly at: number;
  readonly bytes: number;
  readonly seconds: number;
}

export class LagSamples {
  #taken: Taken[] = [];
  #everyMs = FIRST_EVERY_MS;
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The same work, whose heartbeats are looked at. */
  watching(work: Work): Work {
    return {
      ...work,
      beat: (details) => {
        this.#take(details);
        work.beat(details);
      },
    };
  }

  /** The report with the samples of its lease; in the order of time. */
  addedTo(report: StreamReport): LeaseReport {
    if (this.#taken.length === 0) return report;
    const end = this.#now();
    const lag: LeaseSamples = this.#taken.map(({ at, bytes, seconds }) => ({
      ...{ secondsBefore: Math.round((end - at) / MS_PER_SECOND), bytes, seconds },
    }));
    return { ...report, lag };
  }

  #take({ lagBytes, lagSeconds }: Heartbeat): void {
    if (typeof lagBytes !== 'number' || typeof lagSeconds !== 'number') return;
    const at = this.#now();
    const newest = this.#taken.at(-1);
    if (newest && at - newest.at < this.#everyMs) return;
    this.#taken.push({ at, bytes: lagBytes, seconds: lagSeconds });
    if (this.#taken.length <= MOST) return;
    this.#taken = this.#taken.filter((_, index) => index % 2 === 0);
    this.#everyMs *= 2;
  }
}
