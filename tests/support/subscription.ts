/** A real subscription of one database to another: its worker writes where it was created. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { freshPair, sourceServer } from './database.ts';
import { until } from './until.ts';

export interface Subscription extends AsyncDisposable {
  readonly name: string;
  /** A session of the database that publishes. */
  readonly publisher: pg.Client;
  /** Its worker has started. */
  enable(): Promise<void>;
  /** Its worker has ended. */
  disable(): Promise<void>;
}

/**
 * Disabled at first; dropped with its publisher at the end of the scope.
 * @param app a session of a superuser on the subscriber, not used by others meanwhile.
 * @param table DDL of what is published; the subscriber has a table of that name.
 */
export async function subscribe(app: pg.Client, table: string): Promise<Subscription> {
  const publishing = await freshPair();
  const publisher = publishing.sourceClient;
  const name = `s_${randomUUID().slice(0, 8)}`;
  await publisher.query(`${table}; create publication p for all tables`);
  await publisher.query(/* sql */ `select pg_create_logical_replication_slot($1, 'pgoutput')`, [
    name,
  ]);
  const { host, port, user, password, database } = sourceServer().connection(publishing.source);
  await app.query(
    `create subscription ${name} connection 'host=${host} port=${port} dbname=${database} user=${user} password=${String(password)}' publication p with (create_slot = false, slot_name = '${name}', copy_data = false)`,
  );
  const workers = async (): Promise<number> => {
    const { rowCount } = await app.query(
      /* sql */ `select from pg_stat_subscription where subname = $1 and pid is not null`,
      [name],
    );
    return rowCount ?? 0;
  };
  const disable = async (): Promise<void> => {
    await app.query(`alter subscription ${name} disable`);
    await until('the worker to end', async () => (await workers()) === 0);
  };
  await disable();
  return {
    ...{ name, publisher, disable },
    enable: async () => {
      await app.query(`alter subscription ${name} enable`);
      await until('the worker to start', async () => (await workers()) > 0);
    },
    [Symbol.asyncDispose]: async () => {
      await disable();
      await app.query(`alter subscription ${name} set (slot_name = none)`);
      await app.query(`drop subscription ${name}`);
      // The walsender of a worker that has ended keeps the slot until it notices.
      await until('the slot to be dropped', async () => {
        const { rowCount } = await publisher.query(
          /* sql */ `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1`,
          [name],
        );
        return rowCount === 1;
      });
      await publishing[Symbol.asyncDispose]();
    },
  };
}
