/** Disturbs a migration in the background, all the time: kills, freezes, restarts, ended sessions. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Faults, endSessions, type Fault } from '../random/faults.ts';
import type { Pick } from '../random/pick.ts';
import type { Lab } from '../lab.ts';
import { until } from '../until.ts';
import type { WorkerProcess } from '../worker.ts';

const LEAST_PAUSE_MS = 5_000;
const MOST_PAUSE_MS = 40_000;
/** Beyond the heartbeat's timeout: then its work goes on elsewhere, and it wakes up beside that. */
const MOST_FROZEN_MS = 25_000;
const SESSIONS = ['walferry anchor', 'walferry verify', 'walferry apply', 'walferry stream'];
const BARRIER_POINTS = [
  'before-barrier-commit',
  'after-barrier-commit',
  'before-clearing-commit',
  'after-clearing-commit',
] as const;

export class Disturbance {
  readonly #lab: Lab;
  readonly #pick: Pick;
  readonly #faults: Faults;
  readonly #over = new AbortController();
  readonly #frozen = new Map<WorkerProcess, Promise<void>>();
  #turn: Promise<void> = Promise.resolve();
  readonly #running: Promise<void>;

  constructor(lab: Lab, pick: Pick) {
    this.#lab = lab;
    this.#pick = pick;
    this.#faults = new Faults(lab, pick, this.#further());
    this.#running = this.#run();
    // Awaited by `stop`; until then a failure must not end the process.
    this.#running.catch(() => undefined);
  }

  /** What was done, by name. */
  get done(): readonly string[] {
    return this.#faults.done;
  }

  /** Nothing strikes while `work` runs; what struck before is over. Frozen workers stay so. */
  without<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    // Whoever asked hears of a failure; the next one has its turn.
    this.#turn = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /** Ends it, and leaves a worker that works. @throws what a fault failed with: a server that did not come back. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
    await Promise.all(this.#frozen.values());
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      const pause = LEAST_PAUSE_MS + this.#pick.below(MOST_PAUSE_MS - LEAST_PAUSE_MS);
      await sleep(pause, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.without(() => this.#faults.strike());
    }
  }

  /** Those of a verification, more often than the others. */
  #further(): Fault[] {
    const ended = SESSIONS.flatMap((session) =>
      (['source', 'target'] as const).map((side): Fault => [
        'session ended',
        () => endSessions(this.#lab.pair[side], session),
      ]),
    );
    const kill: Fault = ['worker killed', () => this.#kill()];
    const freeze: Fault = ['worker frozen', () => Promise.resolve(this.#freeze())];
    const barrier: Fault = ['worker killed at a barrier', () => this.#killAtBarrier()];
    return [...ended, kill, kill, kill, freeze, freeze, freeze, barrier, barrier];
  }

  async #kill(): Promise<void> {
    const living = this.#lab.workers.filter((one) => one.isAlive());
    if (living.length > 0) await this.#pick.one(living).kill();
    await this.#lab.worker({ name: 'next' });
  }

  #freeze(): void {
    const awake = this.#lab.workers.filter((one) => one.isAlive() && !this.#frozen.has(one));
    if (awake.length < 2) return;
    const worker = this.#pick.one(awake);
    const { signal } = this.#over;
    worker.freeze();
    const wake = sleep(this.#pick.below(MOST_FROZEN_MS), undefined, { signal })
      .catch(() => undefined)
      .then(() => {
        worker.thaw();
        this.#frozen.delete(worker);
      });
    this.#frozen.set(worker, wake);
  }

  /** One that dies as soon as it applies at an anchor; the others go on. */
  async #killAtBarrier(): Promise<void> {
    const point = this.#pick.one(BARRIER_POINTS);
    const doomed = await this.#lab.worker({ name: 'doomed', env: { WALFERRY_FAILPOINT: point } });
    // Another worker may have the stream.
    await until('the fail point', () => !doomed.isAlive(), { seconds: 10 }).catch(() =>
      doomed.kill(),
    );
  }
}
