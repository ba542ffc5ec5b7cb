/**
 * The guard at work. It runs next to the session that owns the exported snapshot, because exactly one of those exists while rows
 * are copied. It measures the source every second, writes its decision to the control schema, where the copy streams read it, and
 * signals the workflow. It never ends the snapshot owner: it logs what fails and retries.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { ceilingsOf, guardText, type GuardInput, type GuardReport } from '../../contract/guard.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat, Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { readLimits, storeGuard } from '../store/throttle.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import {
  FAILURES_TO_HOLD,
  Hysteresis,
  LOOKS_TO_HOLD,
  type Failing,
  type Seen,
} from './hysteresis.ts';
import { GUARD_LIMITS, measure } from './measure.ts';

const MEASURE_EVERY_MS = 1_000;
const ANSWER_WITHIN_MS = 5_000;
/** Each report to the workflow costs four history events, and a copy cannot truncate its history … */
const REPORTS_AT_ONCE = 50;
/** … so a guard that switches all the time reports this rarely after that. */
const REPORT_EVERY_MS = 300_000;

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
  /** The last `holding` that the control schema has, and that the workflow has. */
  #stored: boolean | null = null;
  #reported: boolean | null = null;
  #reporting = false;
  #times = 0;
  #reportedAt = -Infinity;
  #off = false;
  #warned: string | null = null;
  #looks = 0;

  private constructor(migration: Migration, guard: GuardInput, pass: number, work: Work) {
    this.#migration = migration;
    this.#guard = guard;
    this.#pass = pass;
    this.#work = work;
    this.#first = ceilingsOf(guard)[0] ?? { measure: 'query', ceiling: 0 };
    this.#running = this.#run();
  }

  /** Starts measuring; null when the input has no guard. @param pass pass of the exported snapshot. */
  static begin(
    migration: Migration,
    guard: GuardInput | undefined,
    pass: number,
    work: Work,
  ): Guard | null {
    return guard === undefined ? null : new Guard(migration, guard, pass, work);
  }

  /** For the snapshot owner's heartbeat. */
  get details(): Heartbeat {
    const report = this.#report;
    if (this.#off) return { guard: 'off' };
    if (report === null) return { guard: 'not measured yet' };
    return { guard: guardText(report), guardHolding: report.holding };
  }

  /** How often it has measured, or failed to; does not grow while a server does not answer. */
  get looks(): number {
    return this.#looks;
  }

  /** Whether that is often enough to hold. */
  get hasDecided(): boolean {
    return this.#looks >= Math.max(LOOKS_TO_HOLD, FAILURES_TO_HOLD);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.#check(signal).catch((error: unknown) => this.#warn(error));
      this.#looks += 1;
      await sleep(MEASURE_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await this.#source?.[Symbol.asyncDispose]();
    await this.#target?.[Symbol.asyncDispose]();
  }

  async #check(signal: AbortSignal): Promise<void> {
    // While the target does not answer, the last known switch applies: the source is still measured.
    const unread = await this.#readSwitch(signal).then(
      () => null,
      (error: unknown) => ({ error }),
    );
    const report = this.#off ? this.#idle() : await this.#measured(signal);
    if (signal.aborted) return;
    const before = this.#report?.holding ?? false;
    this.#report = report;
    if (before !== report.holding) this.#log(report);
    this.#reportTo(report);
    if (unread) throw unread.error;
    // Retried with the next measurement when it fails.
    await this.#store(report);
    this.#warned = null;
  }

  /** Switched off: nothing is held, and earlier measurements do not count when it is switched on again. */
  #idle(): GuardReport {
    this.#hysteresis = new Hysteresis();
    return { ...this.#first, holding: false, value: null };
  }

  async #measured(signal: AbortSignal): Promise<GuardReport> {
    const measuring = this.#measure(signal);
    while (await isLate(measuring, signal)) await this.#renew(signal);
    return this.#hysteresis.observe(await measuring, this.#first);
  }

  /** A source that does not answer must not be loaded further: renew the decision before it expires. */
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

  /** Reads whether the operator has switched it off or on. */
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

  #log(report: GuardReport): void {
    if (this.#off && !report.holding) return;
    const { measure: name, value, ceiling, failing } = report;
    const fields = { measure: name, value, ceiling, ...failing };
    if (report.holding) this.#work.log.warn('the guard of the source holds the copy', fields);
    else this.#work.log.info('the guard of the source lets the copy continue', fields);
  }

  async #store(report: GuardReport): Promise<void> {
    if (this.#target === null || (this.#stored === report.holding && !report.holding)) return;
    try {
      // While it holds, every value is stored: the copy streams show it in their heartbeats.
      await storeGuard(this.#target, this.#migration, this.#pass, report);
      this.#stored = report.holding;
    } catch (error) {
      await this.#drop('target');
      throw error;
    }
  }

  /** Not awaited: a Temporal server that does not answer must not stop the measurements. */
  #reportTo(report: GuardReport): void {
    const { tell } = this.#work;
    const now = performance.now();
    const due = this.#times < REPORTS_AT_ONCE || now - this.#reportedAt > REPORT_EVERY_MS;
    if (this.#reported === report.holding || this.#reporting || !due || tell === undefined) return;
    this.#reporting = true;
    this.#reportedAt = now;
    tell(report)
      .then(
        () => {
          this.#reported = report.holding;
          this.#times += 1;
        },
        (error: unknown) => this.#warn(error),
      )
      .finally(() => {
        this.#reporting = false;
      });
  }

  #warn(error: unknown): void {
    if (this.#ended.signal.aborted) return;
    const { code, details } = classify(error, {}, 'Internal');
    // Once per code, until a check succeeds.
    if (this.#warned === code) return;
    this.#warned = code;
    this.#work.log.warn('the guard of the source failed; it retries every second', {
      code,
      sqlstate: details.sqlstate,
    });
  }
}

/** Whether the measurement takes longer than the interval between two. Never rejects. */
async function isLate(measuring: Promise<unknown>, ended: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(MEASURE_EVERY_MS, true, { signal: AbortSignal.any([over.signal, ended]) });
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
