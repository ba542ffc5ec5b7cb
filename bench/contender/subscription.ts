/** Native logical replication: a publication of all tables and one subscription. */
import { until } from '../../tests/support/until.ts';
import type { Rig } from '../rig/rig.ts';

/** Its best settings on one table stream: large transactions are sent before their commit, values travel as binary. */
export const SUBSCRIPTION_SETTINGS =
  'binary = true, streaming = on, synchronous_commit off (its default)';

export class Subscription {
  readonly #rig: Rig;
  readonly #database: string;
  readonly name: string;

  private constructor(rig: Rig, database: string, name: string) {
    this.#rig = rig;
    this.#database = database;
    this.name = name;
  }

  /** Creates publication and subscription; the tables already exist. `copy` waits for the initial sync. */
  static async create(
    rig: Rig,
    options: { source: string; target: string; name: string; copy: boolean },
  ): Promise<Subscription> {
    const { source, target, name, copy } = options;
    await rig.source.rows(source, `create publication ${name} for all tables`);
    await rig.target.rows(
      target,
      `create subscription ${name} connection '${rig.source.conninfo(source)}' publication ${name}
       with (binary = true, streaming = on, copy_data = ${copy})`,
    );
    const subscription = new Subscription(rig, target, name);
    await until(
      'the initial sync of native replication',
      async () =>
        (await rig.target.value(
          target,
          `select count(*) from pg_subscription_rel where srsubstate <> 'r'`,
        )) === '0',
      { seconds: 900, everyMilliseconds: 20 },
    );
    return subscription;
  }

  async enable(): Promise<void> {
    await this.#rig.target.rows(this.#database, `alter subscription ${this.name} enable`);
  }

  /** Disables it and waits until its apply worker has ended. */
  async disable(): Promise<void> {
    await this.#rig.target.rows(this.#database, `alter subscription ${this.name} disable`);
    await until(
      'the apply worker of native replication to end',
      async () =>
        (await this.#rig.target.value(
          'postgres',
          `select count(*) from pg_stat_activity where backend_type = 'logical replication worker'`,
        )) === '0' &&
        (await this.#rig.source.value(
          'postgres',
          `select count(*) from pg_replication_slots where slot_name = '${this.name}' and active`,
        )) === '0',
    );
  }

  /** Drops it with its slot, and its publication. */
  async drop(source: string): Promise<void> {
    await this.#rig.target.rows(this.#database, `drop subscription ${this.name}`);
    await this.#rig.source.rows(source, `drop publication ${this.name}`);
  }

  /** CPU seconds since it was enabled: walsender, and apply worker. */
  async seconds(): Promise<{ sender: number; apply: number }> {
    return {
      sender: await this.#rig.source.sessionSeconds(
        `backend_type = 'walsender' and application_name = '${this.name}'`,
      ),
      apply: await this.#rig.target.sessionSeconds(`backend_type = 'logical replication worker'`),
    };
  }
}
