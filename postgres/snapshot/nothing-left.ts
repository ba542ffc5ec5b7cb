/**
 * How a plan that finds nothing left to copy ends the snapshot owner: by a NOTIFY on the target. The workflow cancels the
 * activity, too, but cancellation arrives with the answer to a heartbeat, up to two seconds later. A lost NOTIFY only costs that
 * time.
 */
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';

const channelOf = ({ id }: Migration) => `walferry_nothing_left_${id}`;

/** Tells the owner of this pass's snapshot to end: the plan is empty. */
export async function announceNothingLeft(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
): Promise<void> {
  await target.query(/* sql */ `select pg_catalog.pg_notify($1, $2)`, [
    channelOf(migration),
    String(pass),
  ]);
}

/** Announcements that a session has received since it listens. */
export class NothingLeft {
  readonly #announced = new Set<string>();
  readonly #waiting = new Map<string, AbortController>();

  private constructor(target: pg.Client) {
    target.on('notification', ({ payload = '' }) => {
      this.#announced.add(payload);
      this.#waiting.get(payload)?.abort();
    });
  }

  /** @param target a session that stays open and does nothing else. */
  static async listen(target: pg.Client, migration: Migration): Promise<NothingLeft> {
    const listening = new NothingLeft(target);
    await target.query(/* sql */ `listen ${pg.escapeIdentifier(channelOf(migration))}`);
    return listening;
  }

  /** Aborted once nothing is left to copy in this pass. */
  signalFor(pass: number): AbortSignal {
    const key = String(pass);
    const controller = new AbortController();
    this.#waiting.set(key, controller);
    if (this.#announced.has(key)) controller.abort();
    return controller.signal;
  }
}
