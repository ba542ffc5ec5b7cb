/**
 * The proof of the anchor against the product's own code: writers with subtransactions, rollbacks, row locks, a second unique key,
 * all levels of synchronous_commit and prepared transactions; leases that end, lose their sessions, and are killed before and after
 * the commit of a barrier and of its clearing. At every anchor both sides are compared by a hash over all rows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { FailPoint } from '../../postgres/apply/failpoint.ts';
import { withAnchor } from '../../postgres/verification/anchor.ts';
import { readAt } from '../support/anchor.ts';
import { connectTo, type FreshPair } from '../support/database.ts';
import { streamChanges } from '../support/lease.ts';
import { random } from '../support/load.ts';
import { streamProcess } from '../support/stream-child.ts';
import { drain, OPTIONS, startMigration, storedLsn, testWork } from '../support/stream.ts';

const TABLES = /* sql */ `
  create table a (id int primary key, v bigint not null, u int unique);
  create table b (id bigint primary key, a int, v bigint, pad text);
  create table log (v bigint, k int); alter table log replica identity full;
  create sequence sb; insert into a select g, 100, g from generate_series(1, 150) g`;

/** Writes until the given time; every loop is one transaction. `log` has no key: a change applied twice is a second row. */
const WRITER = /* sql */ `
  create procedure w(until timestamptz, k int) language plpgsql as $$
  declare r int; i int;
  begin while clock_timestamp() < until loop begin
    perform set_config('synchronous_commit', (array['on', 'off', 'local', 'remote_apply'])[1 + floor(random() * 4)::int], true);
    r := floor(random() * 7); i := 1 + floor(random() * 150);
    if r = 0 then for i in 1..4 loop begin
      insert into b values (nextval('sb'), i, k, 'sub');
      if random() < .3 then raise exception 'x'; end if; exception when raise_exception then null; end; end loop;
    elsif r = 1 then insert into a values (i, 1, i) on conflict (id) do update set v = a.v + 1;
    elsif r = 2 then delete from a where id = i;
    elsif r = 3 then update a set v = v + 1 where id = i;
    elsif r = 4 then insert into b values (nextval('sb'), i, k, 'one'); update a set u = null where id = i;
      update a set u = (select min(g) from generate_series(200, 230) g where not exists (select from a where u = g))
       where id = 1 + i % 150 and u is null;
    elsif r = 5 then insert into log values (nextval('sb'), k);
    else delete from b where id in (select id from b order by id limit 3 for update skip locked); end if;
    exception when unique_violation or deadlock_detected then null; end;
    perform pg_sleep(random() * .03); if random() < .1 then rollback; else commit; end if; end loop; end $$`;

const HASH = /* sql */ `
  select md5(coalesce(string_agg(x, ',' order by x), '')) as hash from (
    select 'a' || row(id, v, u)::text as x from a
    union all select 'b' || row(id, a, v, pad)::text from b
    union all select 'l' || row(v, k)::text from log) q`;

const FAIL_POINTS: readonly FailPoint[] = [
  'before-barrier-commit',
  'after-barrier-commit',
  'before-clearing-commit',
  'after-clearing-commit',
];

export interface AnchorProof {
  readonly seed: number;
  /** Anchors at which both sides were compared. */
  anchors: number;
  /** … those that the two sides were not equal at. Always 0. */
  differ: number;
  /** Anchors of leases in this process that left out an earlier commit: only these need the barrier. */
  left: number;
  /** Requests that were refused or lost, by message. */
  readonly refused: Record<string, number>;
  /** Leases that ended by themselves or by a cut session, by outcome. */
  readonly leases: Record<string, number>;
  /** Processes that were killed, by place. */
  readonly killed: Record<string, number>;
  /** Processes that were frozen, overtaken and let go on. */
  frozen: number;
  /** Leases that failed with anything but a lost connection: a change that hit no row or two, above all. Always empty. */
  readonly wrong: string[];
  /** Whether both sides are equal after the last change. Always true. */
  equal: boolean;
}

export interface ProofOptions {
  /** Anchors to compare, at least. */
  readonly rounds: number;
  /** Processes to kill at the places of the barrier, at least; each place in turn. */
  readonly kills: number;
  /** Processes to freeze at any moment, and to let go on after another attempt has taken over; at least. */
  readonly freezes?: number;
  readonly writers?: number;
  readonly seed?: number;
  /** Called from time to time. */
  readonly tell?: (proof: AnchorProof) => void;
}

/**
 * @param db an empty pair. The source allows prepared transactions, and waits for a synchronous standby that does not exist where a
 *   session does not say otherwise: here the proof answers in its place, after up to 0.3 s.
 */
export async function proveAnchors(
  db: FreshPair,
  {
    rounds,
    kills,
    freezes = 0,
    writers = 6,
    seed = Math.floor(Math.random() * 2 ** 31),
    tell = () => undefined,
  }: ProofOptions,
): Promise<AnchorProof> {
  process.stdout.write(`anchor seed ${seed}\n`);
  const proof: AnchorProof = {
    ...{
      seed,
      anchors: 0,
      differ: 0,
      left: 0,
      refused: {},
      leases: {},
      killed: {},
      frozen: 0,
      wrong: [],
      equal: false,
    },
  };
  const migration = await startMigration(db, TABLES);
  await db.sourceClient.query(WRITER);
  // The first lease makes the target consistent.
  await drain(db, migration);
  const over = new AbortController();
  const load = [
    ...Array.from({ length: writers }, (_, k) => write(db, k, over.signal)),
    stall(db, over.signal, random(seed + 200)),
    ...[0, 1].map((k) => prepare(db, k, over.signal, random(seed + 100 + k))),
  ];
  const done = (): boolean => over.signal.aborted;
  const stream = streaming(db, migration, proof, { kills, freezes, rnd: random(seed), done });
  try {
    const killed = (): number => Object.values(proof.killed).reduce((sum, n) => sum + n, 0);
    while (proof.anchors < rounds || killed() < kills || proof.frozen < freezes) {
      if (proof.wrong.length > 0) break;
      await compareOnce(db, migration, proof);
      tell(proof);
    }
  } finally {
    over.abort();
    await Promise.all([...load, stream]);
  }
  await drain(db, migration, { floor: await storedLsn(db, migration) });
  const { hash: here } = await hashOf(db.source);
  const { hash: there } = await hashOf(db.target);
  proof.equal = here === there;
  return proof;
}

async function compareOnce(db: FreshPair, migration: Migration, proof: AnchorProof) {
  try {
    await withAnchor(migration, testWork(), async ({ sourceSnapshot, targetSnapshot }) => {
      const [[here], [there]] = await Promise.all([
        readAt<{ hash: string }>(db.source, sourceSnapshot, HASH),
        readAt<{ hash: string }>(db.target, targetSnapshot, HASH),
      ]);
      proof.anchors += 1;
      if (here === undefined || here.hash !== there?.hash) proof.differ += 1;
    });
  } catch (error) {
    const code = error instanceof MigrationError ? error.code : String(error);
    count(proof.refused, error instanceof MigrationError ? error.message : code);
    if (code !== 'AnchorRefused' && code !== 'AnchorLost') throw error;
  }
}

/** Leases one after another, until the proof is done. */
async function streaming(
  db: FreshPair,
  migration: Migration,
  proof: AnchorProof,
  how: {
    readonly kills: number;
    readonly freezes: number;
    readonly rnd: () => number;
    readonly done: () => boolean;
  },
): Promise<void> {
  for (let turn = 0; !how.done() && proof.wrong.length === 0; turn += 1) {
    const point = FAIL_POINTS[turn % FAIL_POINTS.length];
    const killed = Object.values(proof.killed).reduce((sum, n) => sum + n, 0);
    if (point !== undefined && killed < how.kills) await killAt(point, migration, proof, how.done);
    if (proof.frozen < how.freezes) await freeze(db, migration, proof, how);
    else await leaseWithCuts(db, migration, proof, how);
  }
}

/** A process that dies at the place. */
async function killAt(
  point: FailPoint,
  migration: Migration,
  proof: AnchorProof,
  done: () => boolean,
): Promise<void> {
  const child = streamProcess(migration, { WALFERRY_FAILPOINT: point });
  let ended = false;
  void child.ended.then(() => (ended = true));
  while (!ended && !done()) await Promise.race([child.ended, sleep(100)]);
  if (!ended) child.process.kill('SIGKILL');
  await child.ended;
  if (done()) return;
  if (child.process.signalCode === 'SIGKILL') count(proof.killed, point);
  else proof.wrong.push(`${point}: ${child.lines.at(-1) ?? 'nothing'}`);
}

/** A process that is stopped somewhere, overtaken by a lease, and continued: it may write nothing any more. */
async function freeze(
  db: FreshPair,
  migration: Migration,
  proof: AnchorProof,
  how: { readonly rnd: () => number; readonly done: () => boolean },
): Promise<void> {
  const child = streamProcess(migration);
  const at = performance.now() + 2_000 + how.rnd() * 3_000;
  while (!how.done() && performance.now() < at) await sleep(20);
  child.process.kill('SIGSTOP');
  if (!how.done()) await leaseWithCuts(db, migration, proof, how);
  child.process.kill('SIGCONT');
  // It notices within seconds, or, at the end of the proof, when the drain takes over.
  await Promise.race([child.ended, sleep(20_000)]);
  if (child.process.exitCode === null) child.process.kill('SIGKILL');
  await child.ended;
  if (how.done()) return;
  proof.frozen += 1;
  const last = child.lines.at(-1) ?? 'nothing';
  if (!/^(Unreachable|Fenced|started)$/.test(last)) proof.wrong.push(`frozen: ${last}`);
}

/** A lease that ends with its time, by an abort, or because one of its sessions is cut. */
async function leaseWithCuts(
  db: FreshPair,
  migration: Migration,
  proof: AnchorProof,
  { rnd, done }: { readonly rnd: () => number; readonly done: () => boolean },
): Promise<void> {
  const plain = testWork();
  const info = (_: string, fields?: Record<string, unknown>): void => {
    if (fields?.['leaves'] === true) proof.left += 1;
  };
  const work = { ...plain, log: { ...plain.log, info } };
  const floor = await storedLsn(db, migration);
  const batchChanges = 200 + Math.floor(rnd() * 2_000);
  const lease = streamChanges(migration, { ...OPTIONS, floor, leaseMs: 3_000, batchChanges }, work);
  let ended = false;
  const outcome = lease.then(
    () => 'returned',
    (error: unknown) => (error instanceof MigrationError ? error.code : String(error)),
  );
  void outcome.then(() => (ended = true));
  const at = performance.now() + 500 + rnd() * 2_500;
  while (!ended && !done() && performance.now() < at) await sleep(20);
  const how = rnd();
  if (done() || how < 0.2) work.abort();
  else if (how < 0.8) await cut(db, rnd);
  const result = await outcome;
  count(proof.leases, result);
  if (result !== 'returned' && result !== 'Unreachable')
    proof.wrong.push(await lease.then(String, String));
}

/** Ends one of the stream's sessions. */
async function cut(db: FreshPair, rnd: () => number): Promise<void> {
  const [client, which] = (
    [
      [db.sourceClient, `backend_type = 'walsender'`],
      [db.targetClient, `application_name = 'walferry apply'`],
    ] as const
  )[Math.floor(rnd() * 2)] ?? [db.sourceClient, 'false'];
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and ${which}`,
  );
}

async function write(db: FreshPair, k: number, signal: AbortSignal): Promise<void> {
  await using client = await connectTo(db.source);
  // In short calls, so that the load ends soon after the proof.
  while (!signal.aborted)
    await client.query(`call w(clock_timestamp() + interval '300 ms', ${k})`).catch(ignoreConflict);
}

/** Ends waits for the standby: the commits return, as if it had answered. */
async function stall(db: FreshPair, signal: AbortSignal, rnd: () => number): Promise<void> {
  await using client = await connectTo(db.source);
  const waiting = /* sql */ `
    select pg_cancel_backend(pid) from pg_stat_activity
     where datname = current_database() and wait_event = 'SyncRep'`;
  while (!signal.aborted) {
    await sleep(rnd() * 300);
    await client.query(waiting);
  }
  // Writers that are still in their last commit, and those of prepared transactions.
  for (let idle = 0; idle < 5; await sleep(100)) {
    const { rowCount } = await client.query(waiting);
    idle = rowCount === 0 ? idle + 1 : 0;
  }
}

async function prepare(
  db: FreshPair,
  k: number,
  signal: AbortSignal,
  rnd: () => number,
): Promise<void> {
  await using client = await connectTo(db.source);
  for (let n = 0; !signal.aborted; n += 1) {
    const gid = `'${db.source}_${k}_${n}'`;
    try {
      await client.query(`begin; insert into b values (nextval('sb'), 1, ${k}, 'prepared')`);
      await client.query(
        `savepoint q; update a set v = v - 1 where id = ${1 + Math.floor(rnd() * 150)}`,
      );
      await client.query(`prepare transaction ${gid}`);
      await sleep(rnd() * 80);
      await client.query(`${rnd() < 0.2 ? 'rollback' : 'commit'} prepared ${gid}`);
    } catch (error) {
      await client.query('rollback');
      ignoreConflict(error);
    }
    await sleep(20);
  }
}

/** Writers that block each other in a circle; the application repeats. */
function ignoreConflict(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  // 57014: the answer for the standby came when the commit had returned.
  if (code !== '40P01' && code !== '23505' && code !== '57014') throw error;
}

async function hashOf(service: string): Promise<{ hash: string | undefined }> {
  await using client = await connectTo(service);
  const { rows } = await client.query<{ hash: string }>(HASH);
  return { hash: rows[0]?.hash };
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
