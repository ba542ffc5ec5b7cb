/** Many small databases, each moved by its own migration, all by one worker. */
import { BenchMigration } from './migration.ts';
import type { Rig } from './rig.ts';
import { pgbench } from '../workload/pgbench.ts';

const ROWS = 1_000;
const SCHEMA = `
  create table account (id int primary key, balance bigint not null);
  create table history (id bigserial primary key, account int, at timestamptz default now());
  create table tick (id serial primary key, at timestamptz not null);
  insert into account select g, 0 from generate_series(1, ${ROWS}) g;`;
const WRITE = `
\\set a random(1, ${ROWS})
begin;
update account set balance = balance + 1 where id = :a;
insert into history (account) values (:a);
commit;
`;
const CLIENTS = 8;
/** Migrations that start at the same time. */
const STARTING = 8;
const STARTING_SECONDS = 1_800;
const LOOK_MS = 1_000;
/** Databases that are created at the same time. */
const MAKING = 4;

export class Member {
  readonly source: string;
  readonly target: string;
  readonly migration: BenchMigration;
  readonly tables = ['account', 'history', 'tick'];
  readonly #rig: Rig;

  constructor(rig: Rig, names: { source: string; target: string }, migration: BenchMigration) {
    this.#rig = rig;
    this.source = names.source;
    this.target = names.target;
    this.migration = migration;
  }

  /** Transactions of an update and an insert, as fast as the source takes them. */
  async writeBacklog(transactions: number): Promise<void> {
    await pgbench(this.#rig.source, this.source, WRITE, {
      ...{ clients: CLIENTS, transactions: Math.ceil(transactions / CLIENTS) },
    });
  }

  /** @returns the number of a row that shows that everything before it has arrived. */
  async mark(): Promise<number> {
    return Number(await this.#rig.source.value(this.source, TICK));
  }

  /** Waits inside the target until the row is visible. @returns how old it is then, ms. Both servers have one clock. */
  async arrived(mark: number): Promise<number> {
    return this.#rig.target.postgres.query(this.target, async (client) => {
      await client.query(`
        do $$ declare sent timestamptz; begin
          for i in 1..120000 loop
            select at into sent from tick where id = ${mark};
            if found then
              perform set_config('bench.age', (extract(epoch from clock_timestamp() - sent) * 1000)::text, false);
              return;
            end if;
            commit; perform pg_sleep(0.005);
          end loop;
          raise 'row ${mark} has not arrived in ${this.target}';
        end $$`);
      const { rows } = await client.query<{ age: string }>(
        `select current_setting('bench.age') as age`,
      );
      return Number(rows[0]?.age);
    });
  }

  /** One change through the stream. @returns from its commit until it was visible, ms. */
  async change(): Promise<number> {
    const next = Number(
      await this.#rig.source.value(this.source, 'select coalesce(max(id), 0) + 1 from tick'),
    );
    const arriving = this.arrived(next);
    arriving.catch(() => undefined);
    await this.#rig.source.value(
      this.source,
      `insert into tick values (${next}, clock_timestamp()) returning id`,
    );
    return arriving;
  }
}

const TICK = `insert into tick (id, at) select coalesce(max(id), 0) + 1, clock_timestamp() from tick returning id`;

export class Fleet {
  readonly members: Member[] = [];
  /** Of the worker. */
  readonly pid: number;
  readonly #rig: Rig;

  private constructor(rig: Rig, pid: number) {
    this.#rig = rig;
    this.pid = pid;
  }

  /** Creates the databases, before any slot would have to decode it, and starts one worker. */
  static async open(rig: Rig, size: number): Promise<Fleet> {
    await setFlushing(rig, false);
    await inParallel(MAKING, size, async (i) => {
      const { source, target } = namesOf(i);
      await rig.database(rig.source, source);
      await rig.database(rig.target, target);
      await rig.source.rows(source, SCHEMA);
    });
    await setFlushing(rig, true);
    const worker = await rig.workers.start();
    return new Fleet(rig, worker.pid);
  }

  /** Starts migrations up to this number; resolves when all of them stream. */
  async grow(size: number, say: (line: string) => void): Promise<void> {
    await setFlushing(this.#rig, false);
    const first = this.members.length;
    const began = performance.now();
    let streaming = first;
    await inParallel(STARTING, size - first, async (i) => {
      const names = namesOf(first + i);
      const migration = await BenchMigration.start(this.#rig.client, names);
      const member = new Member(this.#rig, names, migration);
      this.members.push(member);
      await migration.phase('stream', STARTING_SECONDS, LOOK_MS);
      streaming += 1;
      if (streaming % 20 === 0) say(`${streaming} migrations stream`);
    });
    // The phase begins before the stream does.
    await inParallel(MAKING, this.members.length - first, async (i) => {
      await this.members[first + i]?.change();
    });
    await setFlushing(this.#rig, true);
    const seconds = (performance.now() - began) / 1000;
    say(`${size} migrations stream; ${size - first} of them took ${seconds.toFixed(0)} s`);
  }

  /** Ends the migrations, which drops their slots. */
  async close(): Promise<void> {
    await inParallel(STARTING, this.members.length, async (i) => {
      await this.members[i]?.migration.abort();
    });
  }
}

/** Whether the servers wait for the disk: always, except while hundreds of databases and copies are created. */
async function setFlushing(rig: Rig, flushing: boolean): Promise<void> {
  for (const server of [rig.source, rig.target]) {
    await server.rows('postgres', `alter system set fsync = ${flushing ? 'on' : 'off'}`);
    await server.rows('postgres', 'select pg_reload_conf()');
    if (flushing) await server.checkpoint();
  }
}

function namesOf(i: number): { source: string; target: string } {
  return { source: `fleet_${i}`, target: `fleet_${i}_copy` };
}

async function inParallel(
  streams: number,
  count: number,
  task: (i: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const stream = async (): Promise<void> => {
    while (next < count) {
      const i = next;
      next += 1;
      await task(i);
    }
  };
  await Promise.all(Array.from({ length: streams }, stream));
}
