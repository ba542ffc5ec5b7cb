/**
 * How fast a backlog is drained: the same backlog by walferry, by native logical replication, and received by
 * `pg_recvlogical` into nothing, one after another, in an order that changes each round.
 */
import { until } from '../../tests/support/until.ts';
import { createLimits, runLimit } from '../contender/limit.ts';
import { SUBSCRIPTION_SETTINGS, Subscription } from '../contender/subscription.ts';
import { medianOf, medianRatio } from '../report/result.ts';
import type { Report, Row } from '../report/result.ts';
import { expectEqual } from '../rig/equality.ts';
import { BenchMigration } from '../rig/migration.ts';
import type { Rig } from '../rig/rig.ts';
import { forgetPeak, peakMemory, processSeconds } from '../rig/usage.ts';
import { BACKLOGS, schema } from '../workload/backlog.ts';
import type { Backlog } from '../workload/backlog.ts';

const SOURCE = 'app';
const TARGET = 'app_walferry';
const NATIVE = 'app_native';
const MICROSECONDS = 1_000_000;

export interface Drained {
  readonly changes: number;
  /** Seconds of each contender. */
  readonly walferry: number;
  readonly native: number;
  readonly limit: number;
  readonly socketLimit: number;
  /** CPU seconds. */
  readonly node: number;
  readonly walsender: number;
  readonly target: number;
  readonly nativeWalsender: number;
  readonly nativeApply: number;
  /** MiB. */
  readonly peak: number | undefined;
}

/** A source, walferry's and native's copies of it, both streaming. */
export class DrainStage {
  readonly #rig: Rig;
  readonly #migration: BenchMigration;
  readonly #native: Subscription;
  readonly #pid: number;
  #marks = 0;

  private constructor(rig: Rig, migration: BenchMigration, native: Subscription, pid: number) {
    this.#rig = rig;
    this.#migration = migration;
    this.#native = native;
    this.#pid = pid;
  }

  static async open(rig: Rig, scale: number): Promise<DrainStage> {
    await rig.database(rig.source, SOURCE);
    for (const database of [TARGET, NATIVE]) await rig.database(rig.target, database);
    await rig.source.rows(SOURCE, schema(scale));
    const worker = await rig.workers.start();
    const migration = await BenchMigration.start(rig.client, { source: SOURCE, target: TARGET });
    await rig.source.shell(
      `pg_dump -s ${SOURCE} | psql -Xq -v ON_ERROR_STOP=1 "${rig.target.conninfo(NATIVE)}"`,
      rig.source.environment(SOURCE),
    );
    await migration.phase('stream');
    const native = await Subscription.create(rig, {
      ...{ source: SOURCE, target: NATIVE, name: 'bench_native', copy: true },
    });
    await rig.source.rows(SOURCE, 'vacuum analyze');
    for (const database of [TARGET, NATIVE]) await rig.target.rows(database, 'vacuum analyze');
    return new DrainStage(rig, migration, native, worker.pid);
  }

  /**
   * One round of one backlog.
   * @param first which contender begins.
   * @throws Error when source and targets are not equal afterwards.
   */
  async round(backlog: Backlog, changes: number, first: number): Promise<Drained> {
    const rig = this.#rig;
    await backlog.prepare?.(rig.source, changes);
    await this.#levelled();
    await this.#migration.pause();
    await this.#native.disable();
    await createLimits(rig, SOURCE);
    await backlog.write(rig.source, changes);
    const mark = await this.#mark();
    const end = await rig.source.value(SOURCE, 'select pg_current_wal_flush_lsn()');
    await rig.source.checkpoint();
    await rig.target.checkpoint();

    const seen = {
      walferry: 0,
      native: 0,
      limit: 0,
      socketLimit: 0,
      node: 0,
      walsender: 0,
      target: 0,
    };
    const nativeSeconds = { sender: 0, apply: 0 };
    let peak: number | undefined;
    const contenders = [
      async () => {
        seen.limit = await runLimit(rig, SOURCE, end, 'tcp');
        seen.socketLimit = await runLimit(rig, SOURCE, end, 'socket');
      },
      async () => {
        forgetPeak(this.#pid);
        const before = processSeconds(this.#pid) ?? 0;
        const began = performance.now();
        const resumed = this.#migration.resume();
        await this.#arrived(TARGET, mark);
        seen.walferry = (performance.now() - began) / 1000;
        await resumed;
        seen.node = (processSeconds(this.#pid) ?? 0) - before;
        // Sessions of a lease start with it: what they have used so far is the cost of the backlog.
        seen.walsender = await rig.source.sessionSeconds(
          `backend_type = 'walsender' and application_name like 'walferry%'`,
        );
        seen.target = await rig.target.sessionSeconds(`application_name like 'walferry%'`);
        peak = peakMemory(this.#pid);
        await this.#migration.pause();
      },
      async () => {
        const began = performance.now();
        await this.#native.enable();
        await this.#arrived(NATIVE, mark);
        seen.native = (performance.now() - began) / 1000;
        Object.assign(nativeSeconds, await this.#native.seconds());
        await this.#native.disable();
      },
    ];
    for (let turn = 0; turn < contenders.length; turn += 1) {
      await contenders[(first + turn) % contenders.length]?.();
    }
    await this.#migration.resume();
    await this.#native.enable();
    const source = { server: rig.source, database: SOURCE };
    for (const database of [TARGET, NATIVE]) {
      await expectEqual(source, { server: rig.target, database }, backlog.tables);
    }
    return {
      ...{ ...seen, changes, peak },
      ...{ nativeWalsender: nativeSeconds.sender, nativeApply: nativeSeconds.apply },
    };
  }

  /** Ends the migration and native replication, which drops their slots. */
  async close(): Promise<void> {
    await this.#migration.abort();
    await this.#native.drop(SOURCE);
  }

  /** Both have caught up with the source and confirmed it: the measurement includes no old WAL. */
  async #levelled(): Promise<void> {
    for (let round = 0; round < 2; round += 1) {
      await this.#rig.source.checkpoint();
      const mark = await this.#mark();
      await Promise.all([this.#arrived(TARGET, mark), this.#arrived(NATIVE, mark)]);
    }
    const end = await this.#rig.source.value(SOURCE, 'select pg_current_wal_flush_lsn()');
    await until(
      'both slots to be confirmed',
      async () => {
        await this.#mark();
        const behind = await this.#rig.source.value(
          SOURCE,
          `select count(*) from pg_replication_slots
           where database = '${SOURCE}' and confirmed_flush_lsn < '${end}'`,
        );
        return behind === '0';
      },
      { everyMilliseconds: 300, seconds: 60 },
    );
  }

  async #mark(): Promise<number> {
    this.#marks += 1;
    await this.#rig.source.rows(SOURCE, `insert into mark values (${this.#marks})`);
    return this.#marks;
  }

  /** Polled inside the server: 200 queries a second over a connection would take CPU from the measurement. */
  async #arrived(database: string, mark: number): Promise<void> {
    await this.#rig.target.rows(
      database,
      `do $$ begin
         for i in 1..120000 loop
           if exists (select from mark where id = ${mark}) then return; end if;
           commit; perform pg_sleep(0.005);
         end loop;
         raise 'mark ${mark} has not arrived in ${database}';
       end $$`,
    );
  }
}

export interface DrainOptions {
  readonly rounds: number;
  /** Fraction of the full size, above 0. */
  readonly scale: number;
  /** Names of backlogs; all of them when empty. */
  readonly only: readonly string[];
  readonly say: (line: string) => void;
}

export async function measureDrain(rig: Rig, options: DrainOptions): Promise<Report> {
  const { rounds, scale, only, say } = options;
  const stage = await DrainStage.open(rig, scale);
  const rows: Row[] = [];
  for (const backlog of BACKLOGS.filter(({ name }) => only.length === 0 || only.includes(name))) {
    const seen: Drained[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const one = await stage.round(backlog, Math.round(backlog.changes * scale), round);
      seen.push(one);
      say(
        `${backlog.name}, round ${round + 1}: walferry ${one.walferry.toFixed(2)} s, native ${one.native.toFixed(2)} s, limit ${one.limit.toFixed(2)} s (socket ${one.socketLimit.toFixed(2)} s)`,
      );
    }
    rows.push({ name: backlog.name, cells: cells(seen) });
  }
  await stage.close();
  return {
    name: 'drain',
    title: 'A backlog is drained',
    notes: [
      'walferry: default input; from the update "resume" until the last change is visible on the target.',
      `native: logical replication with ${SUBSCRIPTION_SETTINGS}; from "enable" until the last change is visible.`,
      'limit: pg_recvlogical to /dev/null with the plugin options that walferry sends, over TCP as all contenders; "socket limit" is the same over a Unix socket, which avoids waking a TCP receiver for each message.',
      '"of limit", "of socket limit" and "of native" are above 1 where walferry is faster. Row counts and hashes of all three databases were equal after each round.',
      'CPU in µs per row change: the worker process, its walsender, its sessions on the target; native’s walsender and apply worker.',
    ],
    rows,
    chart: {
      unit: 'seconds, less is better',
      columns: ['walferry s', 'native s', 'limit s', 'socket limit s'],
    },
  };
}

/** Whose CPU seconds. */
export type Cost = 'node' | 'walsender' | 'target' | 'nativeWalsender' | 'nativeApply';

/** CPU per change in µs, or per million changes in seconds; the median of the rounds. */
export function microseconds(seen: readonly Drained[], of: Cost): number | undefined {
  return medianOf(seen.map((one) => (one[of] / one.changes) * MICROSECONDS));
}

function cells(seen: readonly Drained[]): Row['cells'] {
  const all = <K extends keyof Drained>(name: K) => seen.map((one) => one[name]);
  const micro = (name: Cost) => microseconds(seen, name);
  return {
    changes: seen[0]?.changes,
    'walferry s': medianOf(all('walferry')),
    'native s': medianOf(all('native')),
    'limit s': medianOf(all('limit')),
    'socket limit s': medianOf(all('socketLimit')),
    'of limit': medianRatio(all('limit'), all('walferry')),
    'of socket limit': medianRatio(all('socketLimit'), all('walferry')),
    'of native': medianRatio(all('native'), all('walferry')),
    'node µs': micro('node'),
    'walsender µs': micro('walsender'),
    'target µs': micro('target'),
    'native walsender µs': micro('nativeWalsender'),
    'native apply µs': micro('nativeApply'),
    'peak MiB': medianOf(all('peak')),
  };
}
