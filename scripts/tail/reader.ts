/**
 * The smallest possible change reader: one replication connection, one temporary slot, and the protocol by hand, so
 * that nothing is between wal2json and the screen. It is for viewing, not for moving data: the slot ends with the
 * session, so nothing is read twice and no WAL is kept for a reader that is gone.
 *
 * On the wire, inside CopyData: `w` + start, end and clock (8 bytes each) + payload is a message; `k` + end and clock
 * (8 bytes each) + 1 byte is a keepalive, which requests an answer when that byte is 1. The answer is `r` + written,
 * flushed and applied position and clock (8 bytes each) + 1 byte.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { formatLsn } from '../../contract/lsn.ts';
import type { Lsn } from '../../contract/lsn.ts';
import { clientConfig, pinNewer } from '../../postgres/connection/connect.ts';
import { renderOptions } from '../../postgres/wal2json/plugin-options.ts';

const OPTIONS = renderOptions({
  'format-version': '2',
  'include-types': 'off',
  'include-xids': 'on',
  'include-lsn': 'on',
  'include-timestamp': 'on',
});

/** Well below the usual `wal_sender_timeout` of 60 s. */
const STATUS_MS = 10_000;
/** Without it a reader that ends while its slot still waits for open transactions leaves a backend behind. */
const SESSION = '-c client_connection_check_interval=300';
const MICROSECONDS_TO_2000 = 946_684_800_000_000n;

export interface TailEvents {
  /** One line of wal2json. Return false to slow the source down until {@link ChangeReader.resume}. */
  message(text: string, lsn: Lsn): boolean;
  /** A WARNING of the server, for instance that changes of a table without replica identity are missing. */
  warning(text: string): void;
}

/** A table or partition that exists when the reading begins. */
export interface ReadTable {
  readonly schema: string;
  readonly name: string;
  /** Its changes carry the names of its partitions. */
  readonly partitioned: boolean;
}

export class ChangeReader {
  readonly #client: pg.Client;
  readonly #events: TailEvents;
  #position = 0n;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(service: string, events: TailEvents) {
    const config = clientConfig(service, 'stream');
    // `replication` makes it a walsender; pg passes it on, although its types lack it.
    const replication = { replication: 'database' };
    this.#client = new pg.Client({
      ...config,
      ...replication,
      application_name: 'walferry-tail',
      options: `${config.options ?? ''} ${SESSION}`,
    });
    this.#events = events;
    this.#client.on('error', () => undefined);
    this.#client.on('notice', (notice) =>
      events.warning(notice.message ?? 'a warning without text'),
    );
  }

  /**
   * Creates the slot and reads until {@link stop}, or until the connection fails.
   * @param started called when the slot exists: every commit from now on is delivered. Gets the tables of the database.
   */
  async read(started: (lsn: string, tables: readonly ReadTable[]) => void): Promise<void> {
    try {
      await this.#client.connect();
      await pinNewer(this.#client);
      const slot = `tail_${randomBytes(6).toString('hex')}`;
      const created = await this.#client.query<{ consistent_point: string }>(
        `CREATE_REPLICATION_SLOT "${slot}" TEMPORARY LOGICAL wal2json NOEXPORT_SNAPSHOT`,
      );
      // A walsender of a database answers SQL too, in the simple protocol.
      const { rows } = await this.#client.query<{
        schema: string;
        name: string;
        kind: string;
      }>(/* sql */ `
        select n.nspname as schema, c.relname as name, c.relkind::text as kind
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p')`);
      const tables = rows.map(({ kind, ...table }) => ({ ...table, partitioned: kind === 'p' }));
      started(created.rows[0]?.consistent_point ?? '', tables);
      this.#client.connection.on('copyData', (frame: { chunk: Buffer }) =>
        this.#frame(frame.chunk),
      );
      this.#timer = setInterval(() => this.#status(), STATUS_MS);
      // Answered only at the end of the stream: by an error, or by stop().
      await this.#client.query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 ${OPTIONS}`);
    } catch (error) {
      if (!this.#stopped) throw error;
    } finally {
      await this.stop();
    }
  }

  /** Continues after `message` returned false. */
  resume(): void {
    this.#client.connection.stream.resume();
  }

  /** Ends the session, and with it the slot. May be called again. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    // end() would wait for the answer to START_REPLICATION; the server notices a closed socket at once.
    this.#client.connection.stream.destroy();
    await this.#client.end().catch(() => undefined);
  }

  #frame(frame: Buffer): void {
    if (this.#stopped) return;
    const kind = String.fromCharCode(frame.readUInt8(0));
    const position = frame.readBigUInt64BE(1);
    if (position > this.#position) this.#position = position;
    if (kind === 'w') {
      // The buffer belongs to the parser, which reuses it: convert it to a string now.
      const goOn = this.#events.message(frame.toString('utf8', 25), formatLsn(position));
      if (!goOn) this.#client.connection.stream.pause();
    } else if (frame.readUInt8(17) === 1) {
      this.#status();
    }
  }

  #status(): void {
    const status = Buffer.alloc(34);
    status.write('r', 0, 'latin1');
    for (const offset of [1, 9, 17]) status.writeBigUInt64BE(this.#position, offset);
    status.writeBigInt64BE(BigInt(Date.now()) * 1000n - MICROSECONDS_TO_2000, 25);
    const frame = Buffer.alloc(5);
    frame.write('d', 0, 'latin1');
    frame.writeUInt32BE(status.length + 4, 1);
    this.#client.connection.stream.write(Buffer.concat([frame, status]));
  }
}
