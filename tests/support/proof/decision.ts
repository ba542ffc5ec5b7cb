/**
 * The proof of the one decision: two drivers and an undoer on one cutover, with crashes and freezes at every durable step, deadlines
 * that are too short, and writers that keep trying. Whatever happens there is exactly one outcome; after `switched` no one has
 * written since the second mark, and after `undone` or an expiry the writes flow. Uses the product's functions, over real servers;
 * only draining is left out: rows are counted on the source instead. Imports nothing of the test runner.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { cutoverId } from '../../../contract/cutover.ts';
import { parseInput } from '../../../contract/input.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { Work } from '../../../contract/work.ts';
import type { Meeting } from '../../../postgres/apply/failpoint.ts';
import { classify } from '../../../postgres/connection/failure.ts';
import { armSource } from '../../../postgres/cutover/arm-source.ts';
import { releaseTarget } from '../../../postgres/cutover/release-target.ts';
import { requireSealed, sealSource } from '../../../postgres/cutover/seal-source.ts';
import { undoCutover } from '../../../postgres/cutover/undo-cutover.ts';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import { connectSource, connectTarget } from '../../../postgres/session/open.ts';
import { connectTo, type FreshPair } from '../database.ts';
import { random } from '../load.ts';
import { startMigration } from '../stream.ts';

export interface Totals {
  rounds: number;
  switched: number;
  undone: number;
  /** Drivers that crashed, and freezes. */
  crashes: number;
  freezes: number;
  /** Cutovers whose deadline passed before anybody ended them. */
  expired: number;
  writes: number;
  refused: number;
  /** What must not happen, by round. */
  readonly bad: string[];
}

export interface Proving {
  readonly seed: number;
  /** Whether another round begins. */
  readonly more: (totals: Totals) => boolean;
  /** How a driver undoes; the product's function unless a test shows what another order would do. */
  readonly undo?: typeof undoCutover;
}

class Crash extends Error {}

const fence = fenceOf('trigger');
const WRITERS = 5;
/** Attempts of one step before a driver gives up, as a workflow would not. */
const MOST_TRIES = 20;

/** @param db a fresh pair. */
export async function proveDecision(
  db: FreshPair,
  { seed, more, undo = undoCutover }: Proving,
): Promise<Totals> {
  const rnd = random(seed);
  const pick = (n: number): number => Math.floor(rnd() * n);
  const migration = await startMigration(
    db,
    /* sql */ `create table d (id bigint generated always as identity primary key, v int)`,
  );
  await db.targetClient.query(
    /* sql */ `create table public.released (cutover text primary key, rows int)`,
  );
  const totals: Totals = {
    ...{ rounds: 0, switched: 0, undone: 0, crashes: 0, freezes: 0, expired: 0 },
    ...{ writes: 0, refused: 0, bad: [] },
  };
  await install(db, migration);
  const unitMs = await oneSwitch({ db, migration, totals, pick, rnd, undo, unitMs: 0 });
  while (more(totals)) {
    await oneRound({ db, migration, totals, pick, rnd, undo, unitMs });
    totals.rounds += 1;
  }
  return totals;
}

interface Round {
  readonly db: FreshPair;
  readonly migration: Migration;
  readonly totals: Totals;
  readonly pick: (n: number) => number;
  readonly rnd: () => number;
  readonly undo: typeof undoCutover;
  /** What one switch without faults takes here: boxes are short or long by that measure, whatever else the machine does. */
  readonly unitMs: number;
}

async function oneRound(round: Round): Promise<void> {
  const { db, migration, totals, pick } = round;
  const cutover = cutoverId(migration, `round-${totals.rounds}`);
  const writers = new Writers(db, pick, totals);
  await sleep(30);
  const { unitMs } = round;
  const milliseconds = 20 + (pick(3) === 0 ? pick(unitMs) : 3 * unitMs + pick(3 * unitMs));
  const box = { cutover, milliseconds };
  const chance = { crash: 0.05, freeze: 0.12 };
  const undoer =
    pick(7) === 0
      ? sleep(pick(500)).then(() => attempt(round, () => undone(round, cutover, chance)))
      : null;
  await Promise.all([
    drive(round, box, chance),
    sleep(pick(300)).then(() => drive(round, box, chance)),
    undoer,
  ]);
  await checkExpiry(round, pick(4) === 0 ? milliseconds + 50 : 0);
  // Somebody ends it in any case: as the workflow does when a worker is back.
  await drive(round, box, { crash: 0, freeze: 0 });
  const outcome = await outcomeOf(db, cutover);
  await sleep(40);
  const gate = await gateOf(db, migration);
  const before = await count(db);
  await writers.until(outcome?.what === 'undone' ? before + 1 : 0);
  await sleep(40);
  await writers.stop();
  const after = await count(db);
  const good =
    outcome?.what === 'switched'
      ? gate.state === 'sealed' && after === outcome.rows
      : outcome?.what === 'undone' && gate.state === 'open' && after > before;
  if (outcome?.what === 'switched') totals.switched += 1;
  if (outcome?.what === 'undone') totals.undone += 1;
  if (!good) {
    totals.bad.push(
      `round ${totals.rounds}: outcome ${outcome?.what ?? 'none'} at ${outcome?.rows ?? '-'} rows, gate ${gate.state}, ${before} then ${after} rows`,
    );
  }
  await using source = await connectSource(migration, 'cutover');
  await fence.open(source, migration, cutover);
}

/** @returns how long it took, milliseconds. */
async function oneSwitch(round: Round): Promise<number> {
  const cutover = cutoverId(round.migration, 'measured');
  const began = performance.now();
  await drive(round, { cutover, milliseconds: 60_000 }, { crash: 0, freeze: 0 });
  const took = performance.now() - began;
  await using source = await connectSource(round.migration, 'cutover');
  await fence.open(source, round.migration, cutover);
  return Math.ceil(took);
}

/** One driver, as the workflow drives: every failure but its own death leads to the undo, which is repeated until it is done. */
async function drive(
  round: Round,
  box: { readonly cutover: string; readonly milliseconds: number },
  chance: Chance,
): Promise<void> {
  const { db, migration, pick } = round;
  const { cutover } = box;
  const work = () => workOf(round, chance);
  await attempt(round, async () => {
    try {
      const order = { ...box, endSessions: false };
      const armed = await armSource(migration, fence, order, work());
      if (armed.decided === null) {
        const first = await count(db);
        await sleep(pick(60));
        const sealed = await sealSource(migration, fence, cutover, work());
        if (sealed.decided === null && sealed.mark !== null) {
          const rows = await count(db);
          // What the second drain would find.
          if (rows === first) {
            await released(round, cutover, rows, chance);
            return;
          }
        }
      }
    } catch (error) {
      if (isCrash(error)) throw error;
      const failure = classify(error, { step: 'the proof' }, 'Internal');
      // A step that met what it does not handle has shown a defect.
      if (failure.code === 'Internal') throw failure;
    }
    await undone(round, cutover, chance);
  });
}

async function released(
  round: Round,
  cutover: string,
  rows: number,
  chance: Chance,
): Promise<void> {
  const { migration } = round;
  await using target = await connectTarget(migration, 'cutover');
  await using source = await connectSource(migration, 'cutover', { target });
  await requireSealed(source, migration, fence, cutover);
  const releasing = {
    also: async (tx: pg.ClientBase) => {
      await tx.query(/* sql */ `insert into public.released values ($1, $2)`, [cutover, rows]);
    },
    downtime: () => Promise.resolve(1),
    last: () => Promise.resolve(),
  };
  const { decided } = await releaseTarget(
    target,
    migration,
    cutover,
    releasing,
    workOf(round, chance),
  );
  if (decided === 'undone') await undone(round, cutover, chance);
}

/** Repeated until the outcome is there, by new attempts. */
async function undone(round: Round, cutover: string, chance: Chance): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await round.undo(round.migration, fence, cutover, workOf(round, chance));
      return;
    } catch (error) {
      if (isCrash(error) || tries === MOST_TRIES) throw error;
      await sleep(20);
    }
  }
}

/** A crash ends a driver, and nothing else of it goes on. */
async function attempt({ totals }: Round, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isCrash(error)) throw error;
    totals.crashes += 1;
  }
}

const isCrash = (error: unknown): boolean =>
  error instanceof Crash || (error instanceof Error && error.cause instanceof Crash);

interface Chance {
  readonly crash: number;
  readonly freeze: number;
}

function workOf({ rnd, pick, totals }: Round, { crash, freeze }: Chance): Work & { meet: Meeting } {
  return {
    signal: new AbortController().signal,
    scheduledAt: Date.now(),
    beat: () => undefined,
    log: { info: () => undefined, warn: () => undefined },
    meet: async () => {
      if (rnd() < crash) throw new Crash('crash');
      if (rnd() >= freeze) return;
      totals.freezes += 1;
      await sleep(pick(400));
    },
  };
}

async function install(db: FreshPair, migration: Migration): Promise<void> {
  const parsed = parseInput({ source: db.source, target: db.target, fence: 'trigger' });
  if (!parsed.ok) throw new Error(parsed.message);
  await using source = await connectSource(migration, 'cutover');
  const { waiting } = await fence.install(source, migration, parsed.input, {
    signal: new AbortController().signal,
    beat: () => undefined,
    log: { info: () => undefined, warn: () => undefined },
  });
  if (waiting.length > 0) throw new Error(`no fence on ${waiting.join(', ')}`);
}

/** An expired fence gives the writes back before anybody tidies up. */
async function checkExpiry({ db, migration, totals }: Round, waitMs: number): Promise<void> {
  await sleep(waitMs);
  const gate = await gateOf(db, migration);
  if (!gate.expired) return;
  totals.expired += 1;
  const before = await count(db);
  const until = performance.now() + 5_000;
  while ((await count(db)) === before) {
    if (performance.now() > until) {
      totals.bad.push(`round ${totals.rounds}: expired, and no one could write for 5 s`);
      return;
    }
    await sleep(10);
  }
}

async function gateOf(
  { sourceClient }: FreshPair,
  { id }: Migration,
): Promise<{ state: string; expired: boolean }> {
  const { rows } = await sourceClient.query<{ state: string; expired: boolean }>(
    /* sql */ `select state, state = 'armed' and clock_timestamp() >= deadline as expired
                 from walferry_fence.gate where migration = $1`,
    [id],
  );
  return rows[0] ?? { state: 'none', expired: false };
}

async function outcomeOf(
  { targetClient }: FreshPair,
  cutover: string,
): Promise<{ what: string; rows: number | null } | undefined> {
  const { rows } = await targetClient.query<{ what: string; rows: number | null }>(
    /* sql */ `select o.what, r.rows from walferry.outcome o left join public.released r using (cutover) where cutover = $1`,
    [cutover],
  );
  return rows[0];
}

async function count({ sourceClient }: FreshPair): Promise<number> {
  const { rows } = await sourceClient.query<{ n: number }>(
    /* sql */ `select count(*)::int as n from d`,
  );
  return rows[0]?.n ?? -1;
}

/** Applications that keep trying: short and long transactions, some of them with a snapshot from before the fence. */
class Writers {
  #stopping = false;
  #rows: (() => Promise<number>) | undefined;
  readonly #running: Promise<void>[];

  constructor(db: FreshPair, pick: (n: number) => number, totals: Totals) {
    this.#rows = () => count(db);
    this.#running = Array.from({ length: WRITERS }, (_, i) => this.#write(db, i, pick, totals));
  }

  async #write(
    db: FreshPair,
    i: number,
    pick: (n: number) => number,
    totals: Totals,
  ): Promise<void> {
    await using client = await connectTo(db.source);
    while (!this.#stopping) {
      try {
        await client.query(`begin${i % 2 === 1 ? ' isolation level repeatable read' : ''}`);
        if (pick(4) === 0) {
          await client.query(`select count(*) from d where v = 0`);
          await sleep(pick(20));
        }
        await client.query(`insert into d (v) values (${i})`);
        if (pick(6) === 0) await sleep(pick(30));
        await client.query('commit');
        totals.writes += 1;
      } catch (error) {
        if (error instanceof pg.DatabaseError && error.code === '25006') totals.refused += 1;
        await client.query('rollback').catch(() => undefined);
        await sleep(3);
      }
    }
  }

  /** Waits until so many rows are there, 5 s at most. */
  async until(rows: number): Promise<void> {
    const end = performance.now() + 5_000;
    while (((await this.#rows?.()) ?? 0) < rows && performance.now() < end) await sleep(10);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }
}
