/**
 * One migration that is verified all the time under load and faults: every verification is equal, except while one foreign write is
 * on the target, which every verification finds, and which `repair` removes.
 */
import { cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { VerificationReport } from '../../../contract/verification.ts';
import type { Counts } from '../../prove/proof.ts';
import { connectTo } from '../database.ts';
import { Lab } from '../lab.ts';
import { Pick } from '../random/pick.ts';
import { randomSchema } from '../random/schema.ts';
import { Writers } from '../random/writers.ts';
import { testRun } from '../run.ts';
import { Hopeless, until } from '../until.ts';
import { Disturbance } from './disturbance.ts';
import { ForeignWriter, type ForeignWrite } from './foreign-write.ts';

/** Rows of each table at the start: some pieces each. */
const FILLED = 4_000;
/** Of all statements: one in about half a minute. The state of a table that was emptied after an anchor cannot be read any more. */
const TRUNCATES = 0.000_03;
const WORKERS = 3;
/** Without an end within this time it does not proceed, whatever happens meanwhile. */
const VERIFICATION_SECONDS = 600;
/** A call wakes up a verification that pauses after a failure. */
const CALL_EVERY_MS = 5_000;
const CHECKS_BETWEEN_WRITES = 3;

type Name =
  | 'verifications that ended equal'
  | 'incomplete verifications'
  | 'anchors'
  | 'rows compared'
  | 'transactions'
  | 'foreign writes'
  | 'found'
  | 'repaired'
  | 'faults'
  | 'kills'
  | 'freezes'
  | 'restarts';

export class Soak {
  readonly #seed: number;
  readonly #over: () => boolean;
  readonly #tell: (counts: Counts) => void;
  readonly #counts: Record<Name, number> = {
    ...{ 'verifications that ended equal': 0, 'incomplete verifications': 0, anchors: 0 },
    ...{ 'rows compared': 0, transactions: 0, 'foreign writes': 0, found: 0, repaired: 0 },
    ...{ faults: 0, kills: 0, freezes: 0, restarts: 0 },
  };

  /** @param over whether no further verification is wanted. */
  constructor(seed: number, over: () => boolean, tell: (counts: Counts) => void) {
    this.#seed = seed;
    this.#over = over;
    this.#tell = tell;
  }

  /**
   * Runs until it is over, at least through one foreign write; then cuts over and compares both sides on its own.
   * @throws Error naming a false alarm, a miss, or what did not proceed.
   */
  async run(): Promise<Counts> {
    const pick = new Pick(this.#seed);
    const schema = randomSchema(pick, this.#seed, FILLED);
    await using lab = await Lab.open(schema.sql);
    const writers = new Writers(schema, this.#seed, () => connectTo(lab.pair.source));
    writers.truncates = TRUNCATES;
    try {
      await Promise.all(Array.from({ length: WORKERS }, () => lab.worker()));
      await lab.start({
        ...{ verify: 'off', copy: { parallelism: 2 + pick.below(3), chunkMegabytes: 1 } },
        stream: { leaseSeconds: pick.one([5, 30]), batchMilliseconds: pick.one([20, 100, 500]) },
      });
      await lab.phase('stream', 240);
      const disturbance = new Disturbance(lab, pick);
      try {
        const foreign = new ForeignWriter(lab.pair, schema, pick);
        do {
          for (let check = 0; check < CHECKS_BETWEEN_WRITES; check += 1) {
            await this.#expectEqual(lab, writers, disturbance);
          }
          await this.#foreignWrite(lab, { writers, disturbance, foreign });
        } while (!this.#over());
      } finally {
        await disturbance.stop();
      }
      await writers.stop();
      await lab.phase('stream', 240);
      await lab.finish();
      return this.#counts;
    } catch (error) {
      process.stderr.write(`seed ${this.#seed}: ${await evidence(lab)}\n`);
      throw error;
    } finally {
      await writers.stop();
    }
  }

  async #expectEqual(lab: Lab, writers: Writers, disturbance: Disturbance): Promise<void> {
    const report = await this.#report(lab, 'verify');
    if (report.differing.length > 0) throw new Error(`false alarm: ${JSON.stringify(report)}`);
    if (report.result === 'equal') this.#counts['verifications that ended equal'] += 1;
    else {
      this.#counts['incomplete verifications'] += 1;
      process.stderr.write(`incomplete: ${report.notCompared.join('; ')}\n`);
    }
    this.#count(report, writers, disturbance);
  }

  async #foreignWrite(
    lab: Lab,
    how: {
      readonly writers: Writers;
      readonly disturbance: Disturbance;
      readonly foreign: ForeignWriter;
    },
  ): Promise<void> {
    const { writers, disturbance, foreign } = how;
    const write = await foreign.prepare(writers);
    const written = await disturbance.without(async () => {
      // No strike may leave it open whether it was written; a server that restarts is waited for.
      await using target = await until('the target', () => connectTo(lab.pair.target));
      return await write(target);
    });
    this.#counts['foreign writes'] += 1;
    for (let found = false; !found;) {
      const report = await this.#report(lab, 'verify');
      this.#count(report, writers, disturbance);
      found = isFound(report, written);
    }
    this.#counts.found += 1;
    for (let repaired = false; !repaired;) {
      const report = await this.#report(lab, 'repair');
      repaired = report.differing.length === 0;
    }
    this.#counts.repaired += 1;
    await this.#expectEqual(lab, writers, disturbance);
    writers.truncates = TRUNCATES;
  }

  /** The next report. Calls end with their worker's Temporal server or with a lost anchor; what counts is what the migration knows. */
  async #report(lab: Lab, update: 'verify' | 'repair'): Promise<VerificationReport> {
    const last = async () => (await lab.progress()).verification?.last?.report;
    const before = JSON.stringify(
      await until('the progress', async () => ({ last: await last() })),
    );
    let called = -Infinity;
    return until(
      `an end of ${update}`,
      async () => {
        const { verification, state, phase, waiting } = await lab.progress();
        if (state === 'waiting' || phase !== 'stream')
          throw new Hopeless(`the migration is ${state} in ${phase}: ${waiting?.reason}`);
        const { running = null, last: newest = null } = verification ?? {};
        const report = newest?.report;
        if (running === null && report && JSON.stringify({ last: report }) !== before)
          return report;
        if ((running === null || running.failing) && performance.now() - called > CALL_EVERY_MS) {
          called = performance.now();
          await lab.handle.startUpdate(update, { waitForStage: 'ACCEPTED' });
        }
        return null;
      },
      { seconds: VERIFICATION_SECONDS, everyMilliseconds: 200 },
    );
  }

  #count(report: VerificationReport, writers: Writers, { done }: Disturbance): void {
    const counts = this.#counts;
    counts.anchors += report.anchors;
    counts['rows compared'] += report.rows;
    counts.transactions = writers.committed;
    counts.faults = done.length;
    counts.kills = done.filter((one) => /killed|fail point/.test(one)).length;
    counts.freezes = done.filter((one) => one.includes('frozen')).length;
    counts.restarts = done.filter((one) => /source|target|Temporal/.test(one)).length;
    this.#tell(counts);
  }
}

/** @returns false: another verification has to look, because this one did not compare everything. @throws Error when it missed it. */
function isFound(report: VerificationReport, { kind, tables, keys }: ForeignWrite): boolean {
  const { differing, result, notCompared } = report;
  const counted = differing.reduce((sum, one) => sum + one.keys, 0);
  const right = differing.every(({ table }) => tables.includes(table));
  if (right && (counted === keys || counted === 2 * keys)) return true;
  if (result === 'incomplete' && notCompared.length > 0) return false;
  throw new Error(
    `${counted === 0 ? 'missed' : 'wrongly found'}: ${kind} in ${tables.join(', ')}: ${JSON.stringify(report)}`,
  );
}

/** What is known when the claim broke: differing keys of test rows, the workers' logs. */
async function evidence(lab: Lab): Promise<string> {
  const { folder } = testRun();
  const kept = path.join(tmpdir(), `walferry-soak-${lab.id}`);
  cpSync(path.join(folder, 'logs'), kept, { recursive: true });
  const known = await lab.progress().catch((error: unknown) => String(error));
  let keys: unknown = null;
  try {
    await using target = await connectTo(lab.pair.target);
    keys = (await target.query(/* sql */ `select * from walferry.verification_difference`)).rows;
  } catch (error) {
    keys = String(error);
  }
  return `logs in ${kept}; ${JSON.stringify({ known, keys })}`;
}
