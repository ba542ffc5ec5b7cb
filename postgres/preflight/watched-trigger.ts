/** Event triggers on the target that may block walferry, found by retrying without them. */
import pg from 'pg';
import { attempted } from './attempt.ts';

export interface WatchedTrigger {
  readonly name: string;
  /** How it is enabled: `enable`, `enable always`, `enable replica`. */
  readonly state: string;
}

export interface Refusal {
  /** SQLSTATE. */
  readonly state: string;
  /** Event triggers without which it went; none: it fails by itself. */
  readonly blamed: readonly WatchedTrigger[];
  /** Whether it was done in the end, without them. */
  readonly done: boolean;
}

interface Row extends WatchedTrigger {
  readonly function: string;
}

/** Works within one transaction, whose rollback restores every trigger. */
export class WatchedTriggers {
  #awake: readonly Row[];

  private constructor(awake: readonly Row[]) {
    this.#awake = awake;
  }

  get none(): boolean {
    return this.#awake.length === 0;
  }

  static async read(client: pg.ClientBase): Promise<WatchedTriggers> {
    const { rows } = await client.query<Row>(/* sql */ `
      select t.evtname as name, p.proname as function,
             case t.evtenabled when 'A' then 'enable always' when 'R' then 'enable replica' else 'enable' end as state
        from pg_catalog.pg_event_trigger t join pg_catalog.pg_proc p on p.oid = t.evtfoid
       where t.evtenabled in ('O', 'A') order by 1`);
    return new WatchedTriggers(rows);
  }

  /**
   * Runs statements within the open transaction, which a refusal leaves usable. What a trigger refused is done without it
   * where our role may disable it, so that what stands on it can be tried.
   */
  async run(client: pg.ClientBase, statements: () => Promise<unknown>): Promise<Refusal | null> {
    const refusal = await attempted(client, statements);
    if (refusal === null) return null;
    const plainly = { state: refusal.state, blamed: [], done: false };
    if (this.none) return plainly;
    const named = this.#awake.filter((one) => refusal.where.includes(`${one.function}(`));
    const suspects = named.length > 0 ? named : this.#awake;
    await client.query('savepoint disabled');
    const asleep = await attempted(client, async () => {
      for (const { name } of suspects) {
        await client.query(`alter event trigger ${pg.escapeIdentifier(name)} disable`);
      }
    });
    const again = asleep ?? (await attempted(client, statements));
    if (again === null) {
      await client.query('release savepoint disabled');
      this.#awake = this.#awake.filter((one) => !suspects.includes(one));
      return { ...plainly, blamed: suspects.map(bare), done: true };
    }
    await client.query('rollback to savepoint disabled; release savepoint disabled');
    // Only its owner may disable it. The server named its function, then: that is as good.
    const blamed = asleep === null ? [] : named.map(bare);
    return { ...plainly, blamed };
  }
}

function bare({ name, state }: Row): WatchedTrigger {
  return { name, state };
}
