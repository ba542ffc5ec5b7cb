/**
 * The guard at work: beside the session that holds the snapshot, because that one is there as long as rows are copied and only once.
 * It measures the source every second, writes what it decides into the control schema, where the lanes see it, and tells the
 * workflow. It never ends the holder: what it cannot do it says and tries again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { ceilingsOf, guardText, type GuardInput, type GuardReport } from '../../contract/guard.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { readLimits, storeGuard } from '../control/throttle.ts';
import { connectSource, connectTarget } from '../identity/connect.ts';
import { Hysteresis, type Failing, type Seen } from './hysteresis.ts';
import { GUARD_LIMITS, measure } from './measure.ts';

const LOOK_EVERY_MS = 1_000;
const ANSWER_WITHIN_MS = 5_000;
/** Each change that the workflow is told costs four events of a history that a copy cannot truncate … */
const TOLD_AT_ONCE = 50;
/** … so a guard that comes and goes all the time is told so rarely after that. */
const TOLD_EVERY_MS = 300_000;

type Session = pg.Client & AsyncDisposable;

export class Guard implements AsyncDisposable {
  readonly #migration: Migration;
  readonly #guard: GuardInput;
  readonly #pass: number;
  readonly #work: Work;
  #hysteresis = new Hysteresis();
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  readonly #first: Pick<GuardReport, 'measure' | 'ceiling'>;
  #source: Session | null = null;
  #target: Session | null = null;
  #report: GuardReport | null = null;
  /** What the control schema has, and what the workflow was told. */
  #stored: boolean | null = null;
  #told: boolean | null = null;
  #telling = false;
  #times = 0;
  #toldAt = -Infinity;
  #off = false;
  #warned: string | null = null;

  private constructor(migration: Migration, guard: GuardInput, pass: number, work: Work) {
    this.#migration = migration;
    this.#guard = guard;
    this.#pass = pass;
    this.#work = work;
    this.#first = ceilingsOf(guard)[0] ?? { measure: 'query', ceiling: 0 };
    this.#running = this.#run();
  }

  /** Begins to measure; null when the input has no guard. @param pass of the snapshot that is held. */
  static begin(
    migration: Migration,
    guard: GuardInput | undefined,
    pass: number,
    work: Work,
  ): Guard | null {
    return guard === undefined ? null : new Guard(migration, guard, pass, work);
  }

  /** For the heartbeat of the holder. */
  get details(): Heartbeat {
    const report = this.#report;
    if (this.#off) return { guard: 'off' };
    if (report === null) return { guard: 'not measured yet' };
    return { guard: guardText(report), guardHolding: report.holding };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.#look(signal).catch((error: unknown) => this.#warn(error));
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await this.#source?.[Symbol.asyncDispose]();
    await this.#target?.[Symbol.asyncDispose]();
  }

  async #look(signal: AbortSignal): Promise<void> {
    // While the target does not answer, what it said last counts: the source is measured all the same.
    const unread = await this.#readSwitch(signal).then(
      () => null,
      (error: unknown) => ({ error }),
    );
    const report = this.#off ? this.#idle() : await this.#measured(signal);
    if (signal.aborted) return;
    const before = this.#report?.holding ?? false;
    this.#report = report;
    if (before !== report.holding) this.#say(report);
    this.#tell(report);
    if (unread) throw unread.error;
    // Tried again with the next look when it fails.
    await this.#store(report);
    this.#warned = null;
  }

  /** Switched off: nothing is held, and what was measured before does not count when it is switched on again. */
  #idle(): GuardReport {
    this.#hysteresis = new Hysteresis();
    return { ...this.#first, holding: false, value: null };
  }

  async #measured(signal: AbortSignal): Promise<GuardReport> {
    const measuring = this.#measure(signal);
    while (await isLate(measuring, signal)) await this.#renew(signal);
    return this.#hysteresis.hysteresis(await measuring, this.#first);
  }

  /** A source that does not answer is the last that should be loaded: what was decided must not expire meanwhile. */
  async #renew(signal: AbortSignal): Promise<void> {
    const report = this.#report;
    if (report?.holding !== true) return;
    try {
      await this.#readSwitch(signal);
      if (!signal.aborted) await this.#store(this.#off ? this.#idle() : report);
    } catch (error) {
      this.#warn(error);
    }
  }

  /** The operator may have switched it off, or on again. */
  async #readSwitch(signal: AbortSignal): Promise<void> {
    try {
      this.#target ??= await connectTarget(this.#migration, 'guard', {
        ...{ aside: true, signal, statementTimeoutMs: ANSWER_WITHIN_MS },
      });
      this.#off = (await readLimits(this.#target, this.#migration)).guard === 'off';
    } catch (error) {
      await this.#drop('target');
      throw error;
    }
  }

  async #measure(signal: AbortSignal): Promise<Seen> {
    try {
      this.#source ??= await connectSource(this.#migration, 'guard', {
        ...GUARD_LIMITS,
        ...{ aside: true, signal },
      });
      return { looks: await measure(this.#source, this.#guard) };
    } catch (error) {
      await this.#drop('source');
      return failingOf(error, this.#guard);
    }
  }

  async #drop(side: 'source' | 'target'): Promise<void> {
    const session = side === 'source' ? this.#source : this.#target;
    if (side === 'source') this.#source = null;
    else this.#target = null;
    await session?.[Symbol.asyncDispose]();
  }

  #say(report: GuardReport): void {
    if (this.#off && !report.holding) return;
    const { measure: name, value, ceiling, failing } = report;
    const fields = { measure: name, value, ceiling, ...failing };
    if (report.holding) this.#work.log.warn('the guard of the source holds the copy', fields);
    else this.#work.log.info('the guard of the source lets the copy go on', fields);
  }

  async #store(report: GuardReport): Promise<void> {
    if (this.#target === null || (this.#stored === report.holding && !report.holding)) return;
    try {
      // While it holds every value is stored: the lanes say it in their heartbeats.
      await storeGuard(this.#target, this.#migration, this.#pass, report);
      this.#stored = report.holding;
    } catch (error) {
      await this.#drop('target');
      throw error;
    }
  }

  /** Not waited for: a Temporal server that does not answer must not keep the source from being measured. */
  #tell(report: GuardReport): void {
    const { tell } = this.#work;
    const now = performance.now();
    const due = this.#times < TOLD_AT_ONCE || now - this.#toldAt > TOLD_EVERY_MS;
    if (this.#told === report.holding || this.#telling || !due || tell === undefined) return;
    this.#telling = true;
    this.#toldAt = now;
    tell(report)
      .then(
        () => {
          this.#told = report.holding;
          this.#times += 1;
        },
        (error: unknown) => this.#warn(error),
      )
      .finally(() => {
        this.#telling = false;
      });
  }

  #warn(error: unknown): void {
    if (this.#ended.signal.aborted) return;
    const { code, details } = classify(error, {}, 'Internal');
    // Once for as long as it lasts.
    if (this.#warned === code) return;
    this.#warned = code;
    this.#work.log.warn('the guard of the source cannot work', {
      code,
      sqlstate: details.sqlstate,
    });
  }
}

/** Whether it is not there after the time between two looks. Never rejects. */
async function isLate(measuring: Promise<unknown>, ended: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(LOOK_EVERY_MS, true, { signal: AbortSignal.any([over.signal, ended]) });
  try {
    return await Promise.race([measuring.then(() => false), late]);
  } catch {
    return false;
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}

function failingOf(
  error: unknown,
  guard: GuardInput,
): Extract<Seen, { readonly failing: unknown }> {
  const { code, details } = classify(error, {}, 'Internal');
  const failing: Failing =
    details.sqlstate === undefined ? { code } : { code, sqlstate: details.sqlstate };
  const what = ceilingsOf(guard).find(({ measure: name }) => name === details.object);
  return what ? { failing, what } : { failing };
}
