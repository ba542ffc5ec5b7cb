/**
 * One round of random load, random faults and random updates of an operator: a migration with a fence that is paused, limited,
 * verified, rehearsed, switched, returned, finalized, aborted or cancelled in any order, and then led to an end.
 *
 * Whatever happens: each update is answered; one side takes writes at the end, the one that the result names; the application's
 * own ledger holds there; if no one wrote after the last switch, both sides are equal; nothing of walferry is left but the seal of the
 * side that was left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { connectTo } from '../database.ts';
import { differencesOf } from '../equality.ts';
import { Lab } from '../lab.ts';
import { Ledger, LEDGER_TABLE, type Side } from '../ledger.ts';
import { LOAD_TABLES, statement } from '../load.ts';
import { until } from '../until.ts';
import { Crew } from './crew.ts';
import { serverFaults } from './faults.ts';
import { Operator } from './operator.ts';
import { Pick } from './pick.ts';

export interface RoundSize {
  /** Updates and faults, before the end. */
  readonly actions: number;
}

/** What a round met, by name. */
export type RoundCounts = Record<string, number>;

const PHASE_SECONDS = 180;
const END_SECONDS = 300;
/** After the migration has ended. */
const ANSWER_SECONDS = 60;
const MOST_PAUSE_MS = 1_200;
const WRITE_PAUSE_MS = 15;
const EARLY: readonly string[] = ['preflight', 'schema'];

/** @throws Error with what was broken, and everything that happened in this round. */
export async function operatorRound(seed: number, size: RoundSize): Promise<RoundCounts> {
  process.stdout.write(`operator seed ${seed}\n`);
  const began = Date.now();
  const lines: string[] = [];
  const tell = (text: string): void => {
    lines.push(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} ${text}`);
  };
  try {
    await using lab = await Lab.open(`${LEDGER_TABLE};${LOAD_TABLES}`);
    try {
      return await new Round(lab, seed, size, tell).run();
    } catch (error) {
      for (const worker of lab.workers)
        tell(`log of ${worker.name}:\n${worker.log().split('\n').slice(-12).join('\n')}`);
      throw error;
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`operator seed ${seed}: ${why}\n${lines.join('\n')}`, { cause: error });
  }
}

class Round {
  readonly #lab: Lab;
  readonly #pick: Pick;
  readonly #size: RoundSize;
  readonly #tell: (text: string) => void;
  readonly #crew: Crew;
  readonly #operator: Operator;
  readonly #ledger: Ledger;
  #faults = 0;

  constructor(lab: Lab, seed: number, size: RoundSize, tell: (text: string) => void) {
    this.#lab = lab;
    this.#pick = new Pick(seed);
    this.#size = size;
    this.#tell = tell;
    this.#crew = new Crew(lab, new Pick(seed + 1), tell);
    const load = new Pick(seed + 2);
    this.#ledger = new Ledger(lab.pair, 3, async (client) => {
      // A bounded rate: a round is about what happens, not about how fast.
      await sleep(WRITE_PAUSE_MS);
      if (load.chance(0.5)) await client.query(...statement((n) => load.below(n), load.next));
    });
    this.#operator = new Operator(lab, this.#ledger, new Pick(seed + 3), tell);
  }

  async run(): Promise<RoundCounts> {
    await using _ = this.#crew;
    try {
      await this.#crew.begin();
      await this.#start();
      for (let n = 0; n < this.#size.actions && !(await this.#hasEnded()); n += 1)
        await this.#act();
      await this.#crew.calm();
      return await this.#end();
    } finally {
      await this.#ledger.stop();
      this.#operator.giveUp();
    }
  }

  async #start(): Promise<void> {
    const pick = this.#pick;
    const input = {
      fence: 'trigger',
      verify: pick.one(['off', 'off', 'before-cutover', 'continuous']),
      ...(pick.chance(0.8) ? { switchback: '24h' } : {}),
      ...(pick.chance(0.2) ? { approval: 'required' } : {}),
      ...(pick.chance(0.3) ? { cutover: { compare: 'off' } } : {}),
      copy: { parallelism: 1 + pick.below(4), chunkMegabytes: 1 },
      stream: {
        // Smaller ones would take minutes for what the writers do in seconds.
        batchChanges: pick.one([20, 500, 20_000]),
        batchMilliseconds: pick.one([0, 10, 200]),
        leaseSeconds: 5,
      },
    };
    this.#tell(JSON.stringify(input));
    await this.#lab.start(input);
    // Before that it refuses to start without its servers, and there is nothing to continue.
    await until('the snapshot', async () => !EARLY.includes((await this.#lab.progress()).phase));
    if (pick.chance(0.8)) await this.#lab.phase('stream', PHASE_SECONDS);
  }

  /** An update or a fault; at times without waiting for what came before. */
  async #act(): Promise<void> {
    const pick = this.#pick;
    await sleep(pick.below(MOST_PAUSE_MS));
    if (pick.chance(0.75)) return this.#operator.act();
    this.#faults += 1;
    if (pick.chance(0.5)) return this.#crew.strike();
    const faults = Object.entries(serverFaults(this.#lab));
    const [name, strike] = pick.one(faults);
    this.#tell(name);
    await strike();
    this.#tell(`${name}: back`);
  }

  async #hasEnded(): Promise<boolean> {
    return (await this.#lab.handle.describe()).status.name !== 'RUNNING';
  }

  async #end(): Promise<RoundCounts> {
    const writersStopped = this.#pick.chance(0.7);
    if (writersStopped) await this.#ledger.stop();
    this.#tell(writersStopped ? 'the end, with no writer' : 'the end, with writers');
    const becameEqual = await this.#operator.leadToEnd(END_SECONDS, writersStopped);
    const { status, text } = await this.#lab.ending();
    this.#tell(`${status} ${text.slice(0, 600)}`);
    await until('every update to be answered', () => this.#operator.open.length === 0, {
      seconds: ANSWER_SECONDS,
    });
    const wrong = [...this.#operator.wrong(), ...wrongEnding(status, text)];
    const live = await this.#live(status, text, wrong);
    await this.#ledger.keepTo(null);
    if (!writersStopped) await this.#goesOn(live);
    await this.#ledger.stop();
    wrong.push(...(await this.#ledger.check(live, { returned: true })));
    wrong.push(...[...this.#ledger.unexpected].map(([text, times]) => `${text} (${times} times)`));
    // What was written after the last switch is on the live side alone, and a switch may be done before its workflow ends.
    const comparable =
      status === 'COMPLETED' && writersStopped && (becameEqual || this.#ledger.last !== live);
    if (comparable) wrong.push(...(await this.#differences()));
    wrong.push(...(await this.#left(live, status)));
    if (wrong.length > 0) throw new Error(wrong.join('; '));
    return {
      ...this.#operator.counts(),
      faults: this.#faults,
      writes: this.#ledger.committed.size,
      [`ended ${status === 'COMPLETED' ? `on the ${live}` : status.toLowerCase()}`]: 1,
      ...(comparable ? { 'compared row by row': 1 } : {}),
    };
  }

  /** The side that takes writes: exactly one if the migration was completed, and the one that its result names. */
  async #live(status: string, text: string, wrong: string[]): Promise<Side> {
    const { source, target } = this.#lab.pair;
    const [old, fresh] = [await takesWrites(source), await takesWrites(target)];
    const named: Side =
      status !== 'COMPLETED' || /witched back to/.test(text) ? 'source' : 'target';
    const other = named === 'source' ? fresh : old;
    if (!(named === 'source' ? old : fresh)) wrong.push(`the ${named} refuses writes`);
    if (status === 'COMPLETED' && other) wrong.push('both sides take writes');
    return named;
  }

  async #goesOn(live: Side): Promise<void> {
    const before = this.#ledger.on(live);
    await until(`writes on the ${live}`, () => this.#ledger.on(live) > before + 5);
  }

  async #differences(): Promise<string[]> {
    await using source = await connectTo(this.#lab.pair.source);
    await using target = await connectTo(this.#lab.pair.target);
    return await differencesOf(source, target, 'ahead');
  }

  /** Slots, schemas and sessions of both sides; a fence only where the application no longer is. */
  async #left(live: Side, status: string): Promise<string[]> {
    await this.#lab.expectNothingLeft();
    const left: string[] = [];
    for (const side of ['source', 'target'] as const) {
      await using client = await connectTo(this.#lab.pair[side]);
      const { rows } = await client.query<{ what: string; fence: boolean }>(LEFT);
      const sealed = status === 'COMPLETED' && side !== live;
      left.push(
        ...rows.filter(({ fence }) => !fence || !sealed).map(({ what }) => `${side}: ${what}`),
      );
    }
    return left;
  }
}

const LEFT = /* sql */ `
  select 'slot ' || slot_name as what, false as fence
    from pg_replication_slots where database = current_database()
  union all
  select 'schema ' || nspname, nspname <> 'walferry' from pg_namespace where nspname like 'walferry%'
  union all
  select 'trigger on ' || tgrelid::regclass, true from pg_trigger where tgname like '~walferry%'
  union all
  select 'prepared transaction ' || gid, false
    from pg_prepared_xacts where database = current_database()`;

/** What the result of a migration must never say after these rounds, with all servers back. */
function wrongEnding(status: string, text: string): string[] {
  const never =
    /on the source only|lost its seal|There is no way back|could not be looked at|still there|SlotKept|ControlKept/;
  const found = never.exec(text)?.[0];
  if (status === 'FAILED' && !/aborted by the operator/i.test(text)) {
    return [`the migration failed: ${text.slice(0, 500)}`];
  }
  return found === undefined ? [] : [`the result says "${found}": ${text.slice(0, 500)}`];
}

/** Tries it, and rolls it back. */
async function takesWrites(service: string): Promise<boolean> {
  await using client = await connectTo(service);
  try {
    await client.query(/* sql */ `begin; insert into public.ledger values (-1, -1, 'none')`);
    return true;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '25006') return false;
    throw error;
  } finally {
    await client.query('rollback');
  }
}
