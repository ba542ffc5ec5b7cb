/**
 * How much a worker does at the same time. An open migration occupies a place for hours (its stream, or the owner of its
 * snapshot), a copy for minutes, anything else for moments. They are counted separately: if streams took the places of copies,
 * as many migrations as there are places would wait for each other forever, and a cutover would wait for another's copy.
 *
 * The counting is done here and not by the SDK's slots, because an activity for which the SDK has no slot waits on the server,
 * where neither the worker nor the workflow knows of it. Pure; activities/admission.ts reports the waits.
 */
import { Places } from './places.ts';

export interface Limits {
  /** Streams and held snapshots: one for each open migration. At least 1. */
  readonly migrations: number;
  /** Copies of all migrations together. At least 1. */
  readonly copies: number;
}

/** Milliseconds; shorter in tests. */
export interface AdmissionTimes {
  /** After this time the workflow and the log report the wait. */
  readonly tellMs: number;
  /** After this time the attempt fails, so that another worker can take it; for a stream after half of it. */
  readonly giveBackMs: number;
  /**
   * How long the place of a stream or snapshot owner that ended is kept for migrations that have begun: longer than a
   * retry (10 s), and long enough for a lease that a full worker took first and returned.
   */
  readonly keepMs: number;
  /**
   * The same for a lease that the workflow ended: a cutover drains at once, and may be undone; after a pause no lease follows.
   */
  readonly handoverMs: number;
}

const ADMISSION_TIMES: AdmissionTimes = {
  tellMs: 3_000,
  giveBackMs: 10_000,
  keepMs: 30_000,
  handoverMs: 3_000,
};

export class Room {
  readonly migrations: Places;
  readonly copies: Places;
  readonly times: AdmissionTimes;

  constructor({ migrations, copies }: Limits, times = ADMISSION_TIMES) {
    this.migrations = new Places(migrations, 'open migrations', '--max-activities');
    this.copies = new Places(copies, 'copies', '--max-copies');
    this.times = times;
  }
}
