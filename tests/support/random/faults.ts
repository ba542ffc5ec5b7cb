/** What may crash during a migration, chosen by the seed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectTo, sourceServer, targetServer } from '../database.ts';
import type { Lab } from '../lab.ts';
import { restartTemporal } from '../temporal.ts';
import { until } from '../until.ts';
import type { Pick } from './pick.ts';

const FAIL_POINTS = [
  'rows-sent',
  'before-target-commit',
  'commit-sent',
  'after-target-commit-before-confirm',
] as const;
const MOST_MILLISECONDS_BEFORE = 1_500;

/** What happens to servers and sessions; what happens to workers is chosen by whoever starts them. */
export type ServerFault = keyof ReturnType<typeof serverFaults>;

/** Each crashes something and lets it come back. */
export function serverFaults(lab: Lab) {
  // On both sides: on a way back they have changed places.
  const end = (application: string) => async () => {
    await Promise.all(
      [lab.pair.source, lab.pair.target].map((one) => endSessions(one, application)),
    );
  };
  return {
    'source killed': () => restarted(sourceServer(), 'kill'),
    'source restarted': () => restarted(sourceServer(), 'stop'),
    'target killed': () => restarted(targetServer(), 'kill'),
    'target restarted': () => restarted(targetServer(), 'stop'),
    'Temporal killed': restartTemporal,
    'snapshot owner ended': end('walferry snapshot'),
    'sessions of the stream ended': end('walferry stream'),
    'session that applies ended': end('walferry apply'),
    'session that copies ended': end('walferry copy'),
  };
}

/** A name for the report, and what happens. */
export type Fault = readonly [string, () => Promise<void>];

/** Disturbs a migration, one fault at a time. */
export class Faults {
  readonly #lab: Lab;
  readonly #pick: Pick;
  readonly #further: readonly Fault[];
  /** What was done, for the report. */
  readonly done: string[] = [];

  /** @param further beside those of any migration. */
  constructor(lab: Lab, pick: Pick, further: readonly Fault[] = []) {
    this.#lab = lab;
    this.#pick = pick;
    this.#further = further;
  }

  /** Waits a random moment, then makes one component crash and come back. */
  async strike(): Promise<void> {
    const pick = this.#pick;
    await sleep(pick.below(MOST_MILLISECONDS_BEFORE));
    const faults: readonly Fault[] = [
      ['worker killed', () => this.#replaceWorker()],
      ['worker with a fail point', () => this.#failPoint()],
      ...Object.entries(serverFaults(this.#lab)),
      ...this.#further,
    ];
    const [name, strike] = pick.one(faults);
    this.done.push(name);
    await strike();
  }

  async #replaceWorker(): Promise<void> {
    await this.#living()?.kill();
    await this.#lab.worker({ name: 'next' });
  }

  /** A second worker that dies at its fail point while the first continues. */
  async #failPoint(): Promise<void> {
    await this.#living()?.kill();
    const doomed = await this.#lab.worker({
      name: 'doomed',
      env: { WALFERRY_FAILPOINT: this.#pick.one(FAIL_POINTS) },
    });
    // During the copy nothing is applied and the fail point is not reached: then it is an ordinary kill.
    await until('the fail point', () => !doomed.isAlive(), { seconds: 15 }).catch(() =>
      doomed.kill(),
    );
    await this.#lab.worker({ name: 'next' });
  }

  #living() {
    return this.#lab.workers.findLast((worker) => worker.isAlive());
  }
}

/** Ends the sessions of a purpose, as an administrator does. */
export async function endSessions(service: string, application: string): Promise<void> {
  await using client = await connectTo(service);
  await client.query(
    /* sql */ `select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and application_name = $1`,
    [application],
  );
}

async function restarted(
  server: ReturnType<typeof sourceServer>,
  how: 'kill' | 'stop',
): Promise<void> {
  await server[how]();
  await server.start();
}
