/** Event triggers on the target that may block walferry, found by retrying without them. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

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
    const refusal = await this.#once(client, statements);
    if (refusal === null || this.none) return refusal?.refusal ?? null;
    const named = this.#awake.filter((one) => refusal.where.includes(`${one.function}(`));
    const suspects = named.length > 0 ? named : this.#awake;
    await client.query('savepoint disabled');
    const asleep = await this.#once(client, async () => {
      for (const { name } of suspects) {
        await client.query(`alter event trigger ${pg.escapeIdentifier(name)} disable`);
      }
    });
    const again = asleep ?? (await this.#once(client, statements));
    if (again === null) {
      await client.query('release savepoint disabled');
      this.#awake = this.#awake.filter((one) => !suspects.includes(one));
      return { ...refusal.refusal, blamed: suspects.map(bare), done: true };
    }
    await client.query('rollback to savepoint disabled; release savepoint disabled');
    // Only its owner may disable it. The server named its function, then: that is as good.
    const blamed = asleep === null ? [] : named.map(bare);
    return { ...refusal.refusal, blamed };
  }

  async #once(
    client: pg.ClientBase,
    statements: () => Promise<unknown>,
  ): Promise<{ refusal: Refusal; where: string } | null> {
    await client.query('savepoint watched');
    try {
      await statements();
      await client.query('release savepoint watched');
      return null;
    } catch (error) {
      const state = error instanceof MigrationError ? error.details.sqlstate : undefined;
      const of = error instanceof pg.DatabaseError ? error : undefined;
      if (state === undefined && of?.code === undefined) throw error;
      await client.query('rollback to savepoint watched; release savepoint watched');
      // The context is the server's text: looked into for names that are known, and not passed on.
      return {
        refusal: { state: state ?? of?.code ?? '', blamed: [], done: false },
        where: of?.where ?? '',
      };
    }
  }
}

function bare({ name, state }: Row): WatchedTrigger {
  return { name, state };
}
