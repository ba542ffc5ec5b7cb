/** How long after its commit on the source a change is visible on the target, at set rates. */
import { SUBSCRIPTION_SETTINGS, Subscription } from '../contender/subscription.ts';
import { medianOf, medianRatio } from '../report/result.ts';
import type { Report, Row } from '../report/result.ts';
import { expectEqual } from '../rig/equality.ts';
import { BenchMigration } from '../rig/migration.ts';
import type { Rig } from '../rig/rig.ts';
import { processSeconds } from '../rig/usage.ts';
import { until } from '../../tests/support/until.ts';
import { pgbench } from '../workload/pgbench.ts';
import type { DrainOptions } from './drain.ts';

const SOURCE = 'app';
const TARGET = 'app_walferry';
const NATIVE = 'app_native';
const RATES = [10, 100, 1_000, 3_000];
const SECONDS = 10;
/** The load runs this long before it is measured: caches, plans. */
const WARM_SECONDS = 2;
const LEASE_SECONDS = 5;
const LEASE_RATE = 100;
/** The measurement includes this many ends of a lease. */
const LEASES = 3;

const ROWS = 100_000;
const SCHEMA = `
  create table account (id bigint primary key, balance bigint);
  insert into account select g, 0 from generate_series(1, ${ROWS}) g;
  create table stamp (id bigserial primary key, at timestamptz not null);`;
const WRITE = `
\\set a random(1, ${ROWS})
begin;
update account set balance = balance + 1 where id = :a;
insert into stamp (at) values (clock_timestamp());
commit;
`;

interface Ages {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  /** Transactions per second that the source made. */
  readonly rate: number;
  /** CPU seconds of the worker for a second of load. */
  readonly node: number | undefined;
}

/** Checks every 2 ms inside the server which rows have become visible, and how old they are. Both servers share one clock. */
const watch = (seconds: number): string => /* sql */ `
  do $$ declare last bigint := coalesce((select max(id) from stamp), 0); began timestamptz := clock_timestamp(); begin
    while clock_timestamp() < began + interval '${seconds} s' loop
      insert into ages select extract(epoch from clock_timestamp() - at) * 1000 from stamp where id > last;
      select coalesce(max(id), last) into last from stamp where id > last;
      commit; perform pg_sleep(0.002);
    end loop;
  end $$`;
const AGES = /* sql */ `
  select count(*)::int as count,
         coalesce(percentile_cont(0.5) within group (order by age), 0) as p50,
         coalesce(percentile_cont(0.99) within group (order by age), 0) as p99,
         coalesce(max(age), 0) as longest
  from ages`;

async function ages(
  rig: Rig,
  database: string,
  rate: number,
  seconds: number,
  pid?: number,
): Promise<Ages> {
  const load = pgbench(rig.source, SOURCE, WRITE, {
    ...{ clients: 4, rate, seconds: seconds + 2 * WARM_SECONDS, synchronousCommit: true },
  });
  load.catch(() => undefined);
  // Warm when the first changes have arrived, at the latest after this time.
  await new Promise((resolve) => setTimeout(resolve, WARM_SECONDS * 1000));
  const before = pid === undefined ? undefined : processSeconds(pid);
  const [found] = await rig.target.postgres.query(database, async (client) => {
    await client.query('create temp table ages (age double precision)');
    await client.query(watch(seconds));
    return (await client.query<Omit<Ages, 'rate' | 'node'>>(AGES)).rows;
  });
  const after = pid === undefined ? undefined : processSeconds(pid);
  if (!found || found.count === 0) throw new Error(`no change arrived in ${database}`);
  const node = before === undefined || after === undefined ? undefined : (after - before) / seconds;
  const reached = await load;
  await level(rig, database);
  return { ...found, rate: reached, node };
}

/** Waits until everything has arrived. */
async function level(rig: Rig, database: string): Promise<void> {
  const newest = await rig.source.value(SOURCE, 'select max(id) from stamp');
  await until(
    `${database} to be level`,
    async () => (await rig.target.value(database, 'select max(id) from stamp')) === newest,
    { seconds: 120 },
  );
}

export async function measureLag(rig: Rig, options: DrainOptions): Promise<Report> {
  const { rounds, say, only } = options;
  const seconds = Math.max(1, Math.round(SECONDS * Math.min(1, options.scale)));
  for (const name of [TARGET, NATIVE]) await rig.database(rig.target, name);
  await rig.database(rig.source, SOURCE);
  await rig.source.rows(SOURCE, SCHEMA);
  const worker = await rig.workers.start();
  const start = async (input: Readonly<Record<string, unknown>> = {}): Promise<BenchMigration> => {
    await rig.database(rig.target, TARGET);
    const started = await BenchMigration.start(rig.client, {
      source: SOURCE,
      target: TARGET,
      input,
    });
    await started.phase('stream');
    return started;
  };
  await rig.target.rows(NATIVE, SCHEMA.replace(/insert into account[^;]*;/, ''));
  const native = await Subscription.create(rig, {
    ...{ source: SOURCE, target: NATIVE, name: 'bench_native', copy: true },
  });
  const migration = await start();
  await native.disable();

  const rows: Row[] = [];
  const wanted = RATES.filter((rate) => only.length === 0 || only.includes(String(rate)));
  for (const rate of wanted) {
    const mine: Ages[] = [];
    const theirs: Ages[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const turns = [
        async () => {
          await migration.resume().catch(() => undefined);
          await level(rig, TARGET);
          mine.push(await ages(rig, TARGET, rate, seconds, worker.pid));
          await migration.pause();
        },
        async () => {
          await native.enable();
          await level(rig, NATIVE);
          theirs.push(await ages(rig, NATIVE, rate, seconds));
          await native.disable();
        },
      ];
      // Only one of them runs at a time: on two cores each would slow down the other.
      if (round % 2 === 1) turns.reverse();
      for (const turn of turns) await turn();
      const [one, other] = [mine.at(-1), theirs.at(-1)];
      say(
        `${rate}/s, round ${round + 1}: walferry p50 ${one?.p50.toFixed(1)} p99 ${one?.p99.toFixed(1)} ms, native p50 ${other?.p50.toFixed(1)} p99 ${other?.p99.toFixed(1)} ms`,
      );
    }
    rows.push({ name: `${rate}/s`, cells: cells(mine, theirs) });
  }
  await migration.resume().catch(() => undefined);
  await native.enable();
  await level(rig, TARGET);
  await level(rig, NATIVE);
  for (const database of [TARGET, NATIVE]) {
    await expectEqual({ server: rig.source, database: SOURCE }, { server: rig.target, database }, [
      'account',
      'stamp',
    ]);
  }
  await native.disable();
  await native.drop(SOURCE);
  await migration.abort();
  if (only.length === 0 || only.includes('lease')) {
    rows.push(
      await changeOfLease(
        rig,
        start,
        { rounds, leases: Math.max(1, Math.round(LEASES * Math.min(1, options.scale))) },
        say,
      ),
    );
  }
  return {
    name: 'lag',
    title: 'From commit on the source to visible on the target',
    notes: [
      'Milliseconds. A transaction is one update and one insert; the source commits synchronously; visibility is checked every 2 ms inside the target.',
      `walferry: default input. native: logical replication with ${SUBSCRIPTION_SETTINGS}. Only one of the two runs at a time. "of native" is above 1 where walferry is faster.`,
      `change of lease: leases of ${LEASE_SECONDS} s at ${LEASE_RATE} transactions/s; the longest lag is the cost of the end of one and the start of the next.`,
      'Rows and hashes of all three databases were equal at the end.',
    ],
    rows,
    chart: {
      unit: 'ms, less is better',
      columns: ['p50 ms', 'p99 ms', 'native p50 ms', 'native p99 ms'],
    },
  };
}

async function changeOfLease(
  rig: Rig,
  start: (input: Readonly<Record<string, unknown>>) => Promise<BenchMigration>,
  { rounds, leases }: { readonly rounds: number; readonly leases: number },
  say: (line: string) => void,
): Promise<Row> {
  const migration = await start({ stream: { leaseSeconds: LEASE_SECONDS } });
  const seen: Ages[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const one = await ages(rig, TARGET, LEASE_RATE, leases * LEASE_SECONDS + 1);
    say(`change of lease, round ${round + 1}: longest ${one.longest.toFixed(0)} ms`);
    seen.push(one);
  }
  await migration.abort();
  return { name: 'change of lease', cells: cells(seen, []) };
}

function cells(mine: readonly Ages[], theirs: readonly Ages[]): Row['cells'] {
  const of = (list: readonly Ages[], name: keyof Ages) => medianOf(list.map((one) => one[name]));
  const ratio = (name: keyof Ages) =>
    medianRatio(
      theirs.map((one) => one[name]),
      mine.map((one) => one[name]),
    );
  const node = of(mine, 'node');
  const rate = of(mine, 'rate');
  return {
    'source tx/s': rate,
    'p50 ms': of(mine, 'p50'),
    'p99 ms': of(mine, 'p99'),
    'longest ms': of(mine, 'longest'),
    'native p50 ms': of(theirs, 'p50'),
    'native p99 ms': of(theirs, 'p99'),
    'native longest ms': of(theirs, 'longest'),
    'p50 of native': ratio('p50'),
    'p99 of native': ratio('p99'),
    'node µs/tx': node === undefined || rate === undefined ? undefined : (node / rate) * 1_000_000,
  };
}
