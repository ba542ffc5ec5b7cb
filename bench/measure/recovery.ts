/** How long the stream stops when its worker is killed and another one is running. */
import { killHard } from '../../scripts/local/demo/cast.ts';
import { until } from '../../tests/support/until.ts';
import { medianOf } from '../report/result.ts';
import type { Report } from '../report/result.ts';
import { expectEqual } from '../rig/equality.ts';
import { BenchMigration } from '../rig/migration.ts';
import type { Rig } from '../rig/rig.ts';
import { pgbench } from '../workload/pgbench.ts';
import type { DrainOptions } from './drain.ts';

const SOURCE = 'app';
const TARGET = 'app_walferry';
const RATE = 200;
const LONGEST_SECONDS = 60;
const WRITE = 'insert into stamp default values;\n';

export async function measureRecovery(rig: Rig, { rounds, say }: DrainOptions): Promise<Report> {
  await rig.database(rig.source, SOURCE);
  await rig.database(rig.target, TARGET);
  await rig.source.rows(
    SOURCE,
    'create table stamp (id bigserial primary key, at timestamptz default now())',
  );
  await rig.workers.start();
  await rig.workers.start();
  const migration = await BenchMigration.start(rig.client, { source: SOURCE, target: TARGET });
  await migration.phase('stream');
  const newest = async (): Promise<number> =>
    Number(await rig.target.value(TARGET, 'select coalesce(max(id), 0) from stamp'));
  const seen: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const over = new AbortController();
    const load = pgbench(rig.source, SOURCE, WRITE, {
      ...{ clients: 2, rate: RATE, seconds: LONGEST_SECONDS, synchronousCommit: true },
      signal: over.signal,
    });
    load.catch(() => undefined);
    const before = await newest();
    await until('the stream to work', async () => (await newest()) > before);
    const chosen = rig.workers.of(await streamOwner(migration));
    if (!chosen) throw new Error('no worker of ours holds the stream');
    await killHard(chosen);
    const began = performance.now();
    const atKill = await newest();
    await until('the next applied transaction', async () => (await newest()) > atKill, {
      ...{ seconds: LONGEST_SECONDS, everyMilliseconds: 20 },
    });
    const seconds = (performance.now() - began) / 1000;
    seen.push(seconds);
    say(`recovery, round ${round + 1}: ${seconds.toFixed(1)} s`);
    over.abort();
    await load;
    await rig.workers.start();
    await level(rig);
  }
  await migration.abort();
  return {
    name: 'recovery',
    title: 'The worker is killed while it streams',
    notes: [
      'Seconds from SIGKILL of the stream’s worker to the first transaction that the other worker applies. Rows and hashes were equal after each round.',
      `walferry: default input, two workers with default options; the heartbeat timeout of 10 s is the larger part. The source makes ${RATE} transactions/s.`,
    ],
    chart: { unit: 'seconds, less is better', columns: ['seconds (median)', 'longest'] },
    rows: [
      {
        name: 'SIGKILL',
        cells: { 'seconds (median)': medianOf(seen), longest: Math.max(...seen) },
      },
    ],
  };
}

/** Waits until everything has arrived, and compares it: a stream that has lost changes has not recovered. */
async function level(rig: Rig): Promise<void> {
  const newest = (server: Rig['source'], database: string): Promise<string> =>
    server.value(database, 'select max(id) from stamp');
  await until(
    'the target to be level',
    async () => (await newest(rig.target, TARGET)) === (await newest(rig.source, SOURCE)),
    { seconds: LONGEST_SECONDS },
  );
  await expectEqual(
    { server: rig.source, database: SOURCE },
    { server: rig.target, database: TARGET },
    ['stamp'],
  );
}

/** Identity of the worker that runs `streamChanges`. */
async function streamOwner(migration: BenchMigration): Promise<string> {
  return until('a worker to have the stream', async () => {
    const { raw } = await migration.handle.describe();
    const streaming = raw.pendingActivities?.find(
      ({ activityType }) => activityType?.name === 'streamChanges',
    );
    return streaming?.lastWorkerIdentity ?? null;
  });
}
