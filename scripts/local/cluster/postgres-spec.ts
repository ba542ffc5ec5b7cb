/** What a local PostgreSQL server is made of. */
import type { ServerSettings } from './settings.ts';

/** Everything needed to create, start and find a server; plain data, so that tests can pass it between processes. */
export interface PostgresSpec {
  /** Name in messages: `source`, `target`. */
  readonly name: string;
  /** Folder of this server alone; the server's account must be able to enter its parents. */
  readonly folder: string;
  /** Folder with `initdb` and `postgres`. */
  readonly programs: string;
  /** Superuser that initdb creates. */
  readonly role: string;
  readonly password: string;
  readonly settings: ServerSettings;
  /** False for throw-away servers: no fsync, the data need not survive a crash of the machine. */
  readonly durable: boolean;
}
