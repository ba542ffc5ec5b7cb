/**
 * Many migrations on one worker: what they cost while nothing is written, and what one at full speed costs the
 * others. Every migration has to deliver a change before a number counts.
 */
import { median, medianOf } from '../report/result.ts';
import type { Report, Row } from '../report/result.ts';
import { expectEqual } from '../rig/equality.ts';
import { Fleet } from '../rig/fleet.ts';
import type { Member } from '../rig/fleet.ts';
import { heartbeats } from '../rig/heartbeat.ts';
import type { Heartbeats } from '../rig/heartbeat.ts';
import { Meter } from '../rig/meter.ts';
import type { Rig } from '../rig/rig.ts';
import { forgetPeak, peakMemory, processSeconds, residentMemory } from '../rig/usage.ts';
import type { DrainOptions } from './drain.ts';

const MIGRATIONS = 200;
/** Even at a small scale there are two busy ones and some idle ones. */
const FEWEST = 4;
const BESIDE = 20;
/** Transactions of one backlog: an update and an insert each. */
const TRANSACTIONS = 100_000;
const FEWEST_TRANSACTIONS = 2_000;
const IDLE_SECONDS = 60;
const SHORTEST_IDLE_SECONDS = 3;

export async function measureFleet(rig: Rig, options: DrainOptions): Promise<Report> {
  const { rounds, scale, only, say } = options;
  const wanted = Math.max(FEWEST, Math.round(MIGRATIONS * scale));
  const transactions = Math.max(FEWEST_TRANSACTIONS, Math.round(TRANSACTIONS * scale));
  const seconds = Math.max(SHORTEST_IDLE_SECONDS, Math.round(IDLE_SECONDS * Math.min(1, scale)));
  const runs = (name: string): boolean => only.length === 0 || only.includes(name);
  const fewer = Math.min(wanted, BESIDE + 2);
  const fleet = await Fleet.open(rig, runs('idle') ? wanted : fewer);
  say(`one worker, ${residentMemory(fleet.pid) ?? 0} MiB before the first migration`);
  const rows: Row[] = [];
  if (runs('busy')) {
    await fleet.grow(fewer, say);
    const [one, other, ...idle] = fleet.members;
    if (!one || !other) throw new RangeError('a fleet of at least two is needed');
    const alone: Drained[] = [];
    const both: Drained[] = [];
    for (let round = 0; round < rounds; round += 1) {
      alone.push(await drained(rig, fleet, { busy: [one], idle, transactions }));
      say(`one busy with ${idle.length} idle, round ${round + 1}: ${describeDrain(alone.at(-1))}`);
      both.push(await drained(rig, fleet, { busy: [one, other], idle, transactions }));
      say(`two busy with ${idle.length} idle, round ${round + 1}: ${describeDrain(both.at(-1))}`);
    }
    rows.push({ name: `${idle.length} idle beside one busy`, cells: busyCells(alone) });
    rows.push({ name: `${idle.length} idle beside two busy`, cells: busyCells(both) });
  }
  if (runs('idle')) {
    await fleet.grow(wanted, say);
    const { members } = fleet;
    const lags = await changed(members);
    say(`all ${members.length} have delivered a change`);
    const cost = await idleCost(rig, fleet.pid, seconds);
    const beats = await heartbeats(
      members.map(({ migration }) => migration),
      seconds * 1000,
    );
    rows.push({
      name: `${members.length} idle`,
      cells: {
        'longest heartbeat gap s': beats.longest,
        'median gap s': beats.median,
        'lag p50 ms': median(lags),
        'longest lag ms': Math.max(...lags),
        ...cost,
      },
    });
  }
  await fleet.close();
  return {
    name: 'fleet',
    title: 'Many migrations on one worker',
    notes: [
      'walferry: one worker process with default options, default input; one database pair for each migration, all of them on the same two servers.',
      'busy: each busy migration drains its own backlog (transactions of one update and one insert) from "resume" until its last change is visible; its rows are compared afterwards.',
      'lag: single changes in the idle ones, from commit on the source to visible on the target. Heartbeat gaps: between two heartbeats that the Temporal server has recorded, of all streams of the case; the worker sends one every 2 s, the timeout is 10 s.',
      `idle: CPU over ${seconds} s in which nothing is written, as a share of one core, of the worker, of the source's walsenders and of the sessions on both servers; resident memory of the worker at the end.`,
      'On one source server every slot decodes the WAL of all databases: with many slots a busy database costs one core for every few walsenders. Separate sources avoid this.',
    ],
    rows,
    chart: {
      unit: 'ms of lag in the idle ones, less is better',
      columns: ['lag p50 ms', 'longest lag ms'],
    },
  };
}

interface Drained {
  readonly seconds: number;
  /** Longest gap of a busy one, and of an idle one. Seconds. */
  readonly busyGap: number;
  readonly idleGap: number;
  readonly lags: readonly number[];
  readonly node: number | undefined;
  readonly peak: number | undefined;
}

/** Every busy one drains a backlog at once, while single changes go through the idle ones. */
async function drained(
  rig: Rig,
  fleet: Fleet,
  what: {
    readonly busy: readonly Member[];
    readonly idle: readonly Member[];
    readonly transactions: number;
  },
): Promise<Drained> {
  const { busy, idle, transactions } = what;
  for (const member of busy) await member.migration.pause();
  for (const member of busy) await member.writeBacklog(transactions);
  const marks = await Promise.all(busy.map((member) => member.mark()));
  await rig.source.checkpoint();
  await rig.target.checkpoint();
  forgetPeak(fleet.pid);
  const before = processSeconds(fleet.pid);
  const began = performance.now();
  const over = new AbortController();
  const gaps = Promise.all(
    [busy, idle].map((members) =>
      heartbeats(
        members.map(({ migration }) => migration),
        Infinity,
        over.signal,
      ),
    ),
  );
  const lags: number[] = [];
  const beside = (async () => {
    while (!over.signal.aborted) {
      for (const member of idle) {
        if (over.signal.aborted) return;
        lags.push(await member.change());
      }
    }
  })();
  await Promise.all(busy.map((member) => member.migration.resume()));
  await Promise.all(busy.map((member, i) => member.arrived(marks[i] ?? 0)));
  const seconds = (performance.now() - began) / 1000;
  const after = processSeconds(fleet.pid);
  over.abort();
  await beside;
  const [busyBeats, idleBeats] = await gaps;
  for (const { source, target, tables } of busy) {
    await expectEqual(
      { server: rig.source, database: source },
      { server: rig.target, database: target },
      tables,
    );
  }
  return {
    ...{ seconds, lags, busyGap: longest(busyBeats), idleGap: longest(idleBeats) },
    node: before === undefined || after === undefined ? undefined : (after - before) / seconds,
    peak: peakMemory(fleet.pid),
  };
}

const longest = (beats: Heartbeats | undefined): number => beats?.longest ?? 0;

function describeDrain(one: Drained | undefined): string {
  if (!one) return '';
  const { seconds, busyGap, idleGap, lags } = one;
  return `drained in ${seconds.toFixed(1)} s, longest gap busy ${busyGap.toFixed(1)} s, idle ${idleGap.toFixed(1)} s, lag of ${lags.length} changes p50 ${median(lags).toFixed(0)} ms, longest ${Math.max(...lags).toFixed(0)} ms`;
}

function busyCells(seen: readonly Drained[]): Row['cells'] {
  const lags = seen.flatMap((one) => one.lags);
  return {
    'drained s': medianOf(seen.map(({ seconds }) => seconds)),
    'longest heartbeat gap s': Math.max(...seen.flatMap((one) => [one.busyGap, one.idleGap])),
    'of the idle s': Math.max(...seen.map(({ idleGap }) => idleGap)),
    'lag p50 ms': median(lags),
    'longest lag ms': Math.max(...lags),
    'node % of a core': percent(medianOf(seen.map(({ node }) => node))),
    'peak MiB': medianOf(seen.map(({ peak }) => peak)),
  };
}

/** One change through each, several at a time. @returns their lags, ms. */
async function changed(members: readonly Member[]): Promise<number[]> {
  const lags: number[] = [];
  for (const member of members) lags.push(await member.change());
  return lags;
}

async function idleCost(rig: Rig, pid: number, seconds: number): Promise<Row['cells']> {
  const mine = `application_name like 'walferry%'`;
  const looks = [
    () => rig.source.sessions(`backend_type = 'walsender'`),
    () => rig.source.sessions(`backend_type <> 'walsender' and ${mine}`),
    () => rig.target.sessions(mine),
  ];
  const read = () => Promise.all(looks.map((look) => look()));
  const meters = (await read()).map((first) => new Meter(first));
  const before = processSeconds(pid);
  const began = performance.now();
  for (let second = 0; second < seconds; second += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    // Sessions come and go with the leases: polled often enough that little of an ended one is missed.
    for (const [i, now] of (await read()).entries()) meters[i]?.read(now);
  }
  const after = processSeconds(pid);
  const lasted = (performance.now() - began) / 1000;
  const share = (used: number | undefined) => percent(used === undefined ? used : used / lasted);
  const [walsenders, source, target] = meters.map((meter) => share(meter.seconds));
  const node = share(before === undefined || after === undefined ? undefined : after - before);
  const count = (server: Rig['source']): Promise<string> =>
    server.value('postgres', `select count(*) from pg_stat_activity where ${mine}`);
  return {
    'node % of a core': node,
    'walsenders %': walsenders,
    'source sessions %': source,
    'target sessions %': target,
    'sessions source': Number(await count(rig.source)),
    'sessions target': Number(await count(rig.target)),
    'resident MiB': residentMemory(pid),
  };
}

function percent(share: number | undefined): number | undefined {
  return share === undefined ? undefined : share * 100;
}
