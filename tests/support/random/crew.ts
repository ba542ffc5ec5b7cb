/**
 * Workers that are killed, frozen, or die at a fail point of the cutover, and somebody who starts the next one: as a supervisor
 * does, late.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CUTOVER_POINTS } from '../../../postgres/apply/failpoint.ts';
import type { Lab } from '../lab.ts';
import type { WorkerProcess } from '../worker.ts';
import type { Pick } from './pick.ts';

const LOOK_MS = 100;
/** A supervisor needs a moment; the deadline of a cutover does not wait for it. */
const MOST_DELAY_MS = 2_000;
/** Longer than the heartbeat timeout of a step in the box, and than that of the stream. */
const MOST_FROZEN_MS = 14_000;

export class Crew implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #pick: Pick;
  readonly #tell: (text: string) => void;
  readonly #frozen = new Set<WorkerProcess>();
  readonly #thaws: Promise<void>[] = [];
  #over = false;
  #watching: Promise<void> | undefined;

  /** @param tell is called with everything that happens. */
  constructor(lab: Lab, pick: Pick, tell: (text: string) => void) {
    this.#lab = lab;
    this.#pick = pick;
    this.#tell = tell;
  }

  /** Starts the first worker, and from then on replaces each that dies or stops. */
  async begin(): Promise<void> {
    await this.#lab.worker({ name: 'first' });
    this.#watching = this.#watch();
  }

  /** One fault of a worker, or one that waits for it at a step of the cutover. */
  async strike(): Promise<void> {
    const worker = this.#working();
    if (!worker) return;
    const how = this.#pick.one(['kill', 'kill', 'freeze', 'point', 'point'] as const);
    if (how === 'kill') {
      this.#tell('worker killed');
      await worker.kill();
    } else if (how === 'freeze') {
      this.#tell('worker frozen');
      worker.freeze();
    } else {
      const point = `${this.#pick.one(CUTOVER_POINTS)}${this.#pick.chance(0.4) ? ' freeze' : ''}`;
      this.#tell(`worker that meets ${point}`);
      const doomed = await this.#lab.worker({ name: 'doomed', env: { WALFERRY_FAILPOINT: point } });
      if (doomed.isAlive()) await worker.kill();
    }
  }

  /** No further fault: everyone who was frozen goes on, and a worker is there. */
  async calm(): Promise<void> {
    this.#over = true;
    await this.#watching;
    await Promise.all(this.#thaws);
    for (const worker of this.#lab.workers) {
      if (isStopped(worker)) worker.thaw();
    }
    // One without a fail point: the end needs somebody who survives it.
    await this.#lab.worker({ name: 'last' });
    for (const worker of this.#lab.workers.filter(({ name }) => name === 'doomed')) {
      if (worker.isAlive()) await worker.kill();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#watching;
    await Promise.all(this.#thaws);
  }

  #working(): WorkerProcess | undefined {
    return this.#lab.workers.findLast((worker) => worker.isAlive() && !isStopped(worker));
  }

  async #watch(): Promise<void> {
    for (; !this.#over; await sleep(LOOK_MS)) {
      for (const worker of this.#lab.workers) {
        if (!isStopped(worker) || this.#frozen.has(worker)) continue;
        this.#frozen.add(worker);
        this.#thaws.push(this.#thawLater(worker, this.#pick.below(MOST_FROZEN_MS)));
      }
      if (this.#working()) continue;
      await sleep(this.#pick.below(MOST_DELAY_MS));
      this.#tell('next worker');
      await this.#lab.worker({ name: 'next' });
    }
  }

  async #thawLater(worker: WorkerProcess, milliseconds: number): Promise<void> {
    for (const at = Date.now() + milliseconds; Date.now() < at && !this.#over;)
      await sleep(LOOK_MS);
    this.#tell('frozen worker goes on');
    worker.thaw();
    // Only from now on it may be frozen again.
    this.#frozen.delete(worker);
  }
}

/** Frozen by us, or by a fail point. */
function isStopped(worker: WorkerProcess): boolean {
  if (!worker.isAlive()) return false;
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${worker.pid}/stat`, 'utf8'))?.[1] === 'T';
  } catch {
    // It died between the two looks.
    return false;
  }
}
