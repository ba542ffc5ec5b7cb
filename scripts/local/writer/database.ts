/** How the writer connects to its database: like any application, by a service name. */
import pg from 'pg';
import { clientConfig } from '../../../postgres/connection/connect.ts';

export type Connection = pg.Client & AsyncDisposable;

/** An outage of the source must show as an answer or an error, not as an endless wait. */
const CONNECT_TIMEOUT_MS = 5_000;

export class Database {
  readonly service: string;

  constructor(service: string) {
    this.service = service;
    // Reports unknown services at once, not at the first connection.
    this.#config();
  }

  /** A separate connection; the caller ends it. Sessions have the pinned text settings that hashes need. */
  async connect(): Promise<Connection> {
    const client = new pg.Client(this.#config());
    // Without a listener a connection that breaks while idle ends the process.
    client.on('error', () => undefined);
    await client.connect();
    return Object.assign(client, {
      [Symbol.asyncDispose]: () => client.end().catch(() => undefined),
    });
  }

  #config(): pg.ClientConfig {
    const config = clientConfig(this.service, 'preflight');
    return {
      // The application is not part of walferry, so it has its own name in pg_stat_activity.
      ...config,
      // walferry's own sessions pass a fence; an application must not.
      options: `${config.options ?? ''} -c search_path=public -c walferry.apply=off`,
      application_name: 'walferry-writer',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    };
  }
}
