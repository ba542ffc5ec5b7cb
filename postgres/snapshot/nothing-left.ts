/**
 * How a plan that finds nothing left ends the holder: by a notification on the target. The workflow cancels it as well, but that is
 * heard with the answer to a heartbeat only, up to two seconds later. A notification that is lost costs those two seconds.
 */
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';

const channelOf = ({ id }: Migration) => `walferry_nothing_left_${id}`;

/** Everybody who holds this generation for the migration may end: its plan is empty. */
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

/** What was announced to a session since it began to listen. */
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

  /** Aborted once nothing is left under this generation. */
  signalFor(pass: number): AbortSignal {
    const key = String(pass);
    const controller = new AbortController();
    this.#waiting.set(key, controller);
    if (this.#announced.has(key)) controller.abort();
    return controller.signal;
  }
}
