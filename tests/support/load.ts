/**
 * An application that never stops writing: several connections with overlapping random transactions (inserts, updates,
 * deletes, savepoints rolled back, rollbacks) on tables of the shape of {@link LOAD_TABLES}. Rate and tables stay bounded:
 * a test that waits a minute for a takeover must not leave a backlog that takes minutes to apply.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** Tables that the load writes to; `note` has unchanged TOAST in most updates, `pair` a composite key. */
export const LOAD_TABLES = /* sql */ `
  create table item (id bigint generated always as identity primary key, name text not null, price numeric, at timestamptz default now());
  create table note (id serial primary key, label text, body text);
  alter table note alter column body set storage external;
  create table pair (a int, b text, n bigint not null, primary key (a, b));
  insert into item (name, price) select 'item ' || i, i / 7.0 from generate_series(1, 2000) i;
  insert into note (label, body) select 'note ' || i, repeat(md5(i::text), 100) from generate_series(1, 200) i;
  insert into pair select i % 50, 'k' || i, i from generate_series(1, 500) i;
`;

/**
 * How long each transaction stays open after its first statement: some are always open, but far fewer than one stream
 * can apply. Several of these loads run at once and slow down the tests that run in parallel.
 */
const OPEN_MILLISECONDS = 20;

/** Small repeatable generator (mulberry32): a failing run is repeated by its printed seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class Load {
  readonly seed: number;
  /** Transactions whose COMMIT returned. */
  committed = 0;
  #stopping = false;
  readonly #connections: Promise<void>[];
  readonly #clients: pg.Client[] = [];

  /**
   * Starts this many connections at once. Broken connections are replaced: servers are restarted under the load.
   */
  constructor(
    connect: () => Promise<pg.Client>,
    connections = 3,
    seed = Math.floor(Math.random() * 2 ** 31),
  ) {
    this.seed = seed;
    process.stdout.write(`load seed ${seed}\n`);
    this.#connections = Array.from({ length: connections }, (_, connection) =>
      this.#connection(connect, random(seed + connection)),
    );
  }

  /** Ends the load at transaction boundaries. After it returns nothing writes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#connections);
    await Promise.allSettled(this.#clients.map((client) => client.end()));
  }

  async #connection(connect: () => Promise<pg.Client>, rnd: () => number): Promise<void> {
    let client: pg.Client | undefined;
    while (!this.#stopping) {
      try {
        client ??= await this.#open(connect);
        await this.#transaction(client, rnd);
      } catch {
        // The server went down or chose us as deadlock victim; a real application reconnects.
        await client?.end().catch(() => undefined);
        client = undefined;
        await sleep(50);
      }
    }
  }

  async #open(connect: () => Promise<pg.Client>): Promise<pg.Client> {
    const client = await connect();
    client.on('error', () => undefined);
    this.#clients.push(client);
    return client;
  }

  async #transaction(client: pg.Client, rnd: () => number): Promise<void> {
    const pick = (n: number) => Math.floor(rnd() * n);
    await client.query('begin');
    await client.query(...statement(pick, rnd));
    await sleep(OPEN_MILLISECONDS);
    for (let i = pick(6); i > 0; i--) await client.query(...statement(pick, rnd));
    if (rnd() < 0.2) {
      await client.query('savepoint s');
      await client.query(...statement(pick, rnd));
      await client.query(rnd() < 0.5 ? 'rollback to s' : 'release s');
    }
    if (rnd() < 0.1) {
      await client.query('rollback');
      return;
    }
    await client.query('commit');
    this.committed++;
  }
}

/** One random statement on {@link LOAD_TABLES}. */
export function statement(pick: (n: number) => number, rnd: () => number): [string, unknown[]] {
  switch (pick(10)) {
    case 0:
      return ['insert into item (name, price) values ($1, $2)', [`new ${pick(1e9)}`, rnd() * 1e6]];
    case 1:
      return ['update item set price = price + 1 where id = $1', [pick(2500)]];
    case 2:
      return ['delete from item where id = $1', [pick(2500)]];
    case 3:
      return ['update note set label = $1 where id = $2', [`label ${pick(1e6)}`, pick(220)]];
    case 4:
      return [
        'insert into note (label, body) values ($1, repeat(md5($2), 120))',
        ['n', `${pick(1e6)}`],
      ];
    case 5:
      return ['delete from note where id = $1', [pick(260)]];
    case 6:
      return [
        'insert into pair values ($1, $2, $3) on conflict (a, b) do update set n = pair.n + 1',
        [pick(50), `k${pick(700)}`, pick(1e6)],
      ];
    case 7:
      return [
        'update pair set b = b || $3 where a = $1 and b = $2',
        [pick(50), `k${pick(700)}`, `x${pick(1e6)}`],
      ];
    case 8:
      return ['delete from pair where a = $1 and n % 3 = 0', [pick(50)]];
    default:
      return ['update pair set n = n + 1 where a = $1', [pick(50)]];
  }
}
