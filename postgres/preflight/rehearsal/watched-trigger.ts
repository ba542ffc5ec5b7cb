/** Finds event triggers on the target that block walferry by retrying statements without them. */
import pg from 'pg';
import { attempted } from '../attempt.ts';

export interface WatchedTrigger {
  readonly name: string;
  /** How it is enabled: `enable`, `enable always`, `enable replica`. */
  readonly state: string;
}

export interface Refusal {
  /** SQLSTATE. */
  readonly state: string;
  /** Event triggers that caused the refusal; empty: it has another cause. */
  readonly blamed: readonly WatchedTrigger[];
  /** Whether it succeeded without them. */
  readonly done: boolean;
}

interface Row extends WatchedTrigger {
  readonly function: string;
}

/** Works within one transaction, whose rollback restores every trigger. */
export class WatchedTriggers {
  #enabled: readonly Row[];

  private constructor(enabled: readonly Row[]) {
    this.#enabled = enabled;
  }

  get none(): boolean {
    return this.#enabled.length === 0;
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
   * Runs statements in the open transaction, which a refusal leaves usable. If a trigger refuses them and our role may disable
   * it, runs them again without it, so that dependents can be tried.
   */
  async run(client: pg.ClientBase, statements: () => Promise<unknown>): Promise<Refusal | null> {
    const refusal = await attempted(client, statements);
    if (refusal === null) return null;
    const plainly = { state: refusal.state, blamed: [], done: false };
    if (this.none) return plainly;
    const named = this.#enabled.filter((one) => refusal.where.includes(`${one.function}(`));
    const suspects = named.length > 0 ? named : this.#enabled;
    await client.query('savepoint disabled');
    const refused = await attempted(client, async () => {
      for (const { name } of suspects) {
        await client.query(`alter event trigger ${pg.escapeIdentifier(name)} disable`);
      }
    });
    const failed = refused ?? (await attempted(client, statements));
    if (failed === null) {
      await client.query('release savepoint disabled');
      this.#enabled = this.#enabled.filter((one) => !suspects.includes(one));
      return { ...plainly, blamed: suspects.map(bare), done: true };
    }
    await client.query('rollback to savepoint disabled; release savepoint disabled');
    // Only its owner may disable it; then the function that the server named is the evidence.
    const blamed = refused === null ? [] : named.map(bare);
    return { ...plainly, blamed };
  }
}

function bare({ name, state }: Row): WatchedTrigger {
  return { name, state };
}
