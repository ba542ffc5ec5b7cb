/**
 * A migration step by step, in the workflow's order and without Temporal: the duration of each step, and its longest gap between
 * heartbeats. A step that sends none for longer than the heartbeat timeout is considered dead and retried forever.
 */
import { randomBytes } from 'node:crypto';
import { slotName } from '../../contract/slot-name.ts';
import { type Migration } from '../../contract/migration.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { CopyPlan, Heartbeat, Work } from '../../contract/work.ts';
import { connect } from '../../postgres/connection/connect.ts';
import { dropControl } from '../../postgres/store/migration.ts';
import { compareCounts } from '../../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../postgres/cutover/later-changes.ts';
import { definitionLines } from './definition-lines.ts';
import { setSequences } from '../../postgres/cutover/set-sequences.ts';
import { inspect } from '../../postgres/preflight/inspect.ts';
import { analyzeTables } from '../../postgres/schema/analyze-tables.ts';
import { buildConstraints } from '../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../../postgres/schema/refresh-views.ts';
import { createSlot } from '../../postgres/slot/create-slot.ts';
import { dropSlot } from '../../postgres/slot/drop-slot.ts';
import { copyChunks } from '../../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../../postgres/snapshot/snapshot-owner.ts';
import { planCopy } from '../../postgres/snapshot/copy-plan.ts';
import { streamChanges } from './lease.ts';

/** Records the time of every heartbeat. */
export interface TimedWork extends Work {
  abort(): void;
  /** Longest time between two beats from its beginning until now, milliseconds. */
  silence(): number;
  /** The heartbeat before the longest silence. */
  before(): string;
  /** Bytes of the largest beat. */
  largest(): number;
}

export function timedWork(): TimedWork {
  const controller = new AbortController();
  let last = performance.now();
  let longest = 0;
  let details: Heartbeat = {};
  let before = details;
  let largest = 0;
  const hear = (): number => {
    const now = performance.now();
    if (now - last > longest) {
      longest = now - last;
      before = details;
    }
    last = now;
    return longest;
  };
  return {
    signal: controller.signal,
    beat: (sent: Heartbeat) => {
      hear();
      details = sent;
      largest = Math.max(largest, sizeOf(sent));
    },
    log: { info: () => undefined, warn: () => undefined },
    abort: () => controller.abort(new Error('no longer needed')),
    silence: hear,
    before: () => JSON.stringify(before),
    largest: () => largest,
  };
}

/** Of a value as Temporal's converter writes it; nothing for `undefined`. */
function sizeOf(value: unknown): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}

export interface Measured {
  readonly step: string;
  readonly seconds: number;
  /** Longest silence between two beats, seconds. */
  readonly silence: number;
  /** The beat before it. */
  readonly before: string;
  /** Bytes of JSON of its result and of its largest beat: what a history and a server have to carry. */
  readonly payload: number;
  /** Its outcome, for people. */
  readonly outcome: string;
}

/** A part of a journey that can be repeated. */
export interface Stage {
  readonly name: string;
  readonly run: () => Promise<unknown>;
}

function stage(name: string, run: () => Promise<unknown>): Stage {
  return { name, run };
}

export class Journey {
  readonly migration: Migration;
  readonly measured: Measured[] = [];
  readonly #input: MigrationInput;
  readonly #tell: (measured: Measured) => void;

  /**
   * @param tell called after each step.
   * @param id of a journey to continue; every step recognizes what it has done already.
   */
  constructor(
    input: MigrationInput,
    tell: (measured: Measured) => void = () => undefined,
    id = randomBytes(8).toString('hex'),
  ) {
    const workflowId = 'journey';
    const { source, target } = input;
    this.migration = { id, workflowId, source, target, slot: slotName(workflowId, id) };
    this.#input = input;
    this.#tell = tell;
  }

  /** Runs one step and records it. */
  async step<T>(
    name: string,
    run: (work: TimedWork) => Promise<T>,
    outcome: (result: T) => string = () => '',
  ): Promise<T> {
    const work = timedWork();
    const began = performance.now();
    const note = (outcome: string, result?: unknown): void => {
      const measured = {
        step: name,
        seconds: (performance.now() - began) / 1000,
        silence: work.silence() / 1000,
        before: work.before(),
        payload: Math.max(work.largest(), sizeOf(result)),
        outcome,
      };
      this.measured.push(measured);
      this.#tell(measured);
    };
    try {
      const result = await run(work);
      note(outcome(result), result);
      return result;
    } catch (error) {
      note(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    }
  }

  /** Everything up to the stream: schema, slot, rows, indexes, statistics. */
  async prepare(): Promise<void> {
    for (const { run } of this.preparation()) await run();
  }

  /** The parts of {@link prepare}, in order. */
  preparation(): readonly Stage[] {
    const { migration } = this;
    const input = this.#input;
    return [
      stage('preflight', () =>
        this.step(
          'preflight',
          (work) => inspect(migration, input, work),
          (found) => found.map(({ level, code }) => `${level} ${code}`).join(', '),
        ),
      ),
      stage('copySchema', () =>
        this.step(
          'copySchema',
          (work) => copySchema(migration, input, work),
          ({ tables, statements }) => `${tables} tables, ${statements} statements`,
        ),
      ),
      stage('createSlot', () => this.step('createSlot', (work) => createSlot(migration, work))),
      stage('copy', () => this.copy()),
      stage('buildIndexes', () =>
        this.step('buildIndexes', (work) => buildIndexes(migration, input, work)),
      ),
      stage('analyzeTables', () =>
        this.step('analyzeTables', (work) => analyzeTables(migration, input, work)),
      ),
    ];
  }

  /** One pass. */
  async copy(): Promise<CopyPlan> {
    const { migration } = this;
    const input = this.#input;
    const owner = timedWork();
    const held = holdSnapshot(migration, owner);
    held.catch(() => undefined);
    try {
      const plan = await this.step(
        'planCopy',
        (work) => planCopy(migration, input, work),
        ({ runs, chunksTotal }) =>
          `${runs.length} runs, ${chunksTotal} chunks, ${JSON.stringify(runs).length} bytes of runs`,
      );
      const queue = [...plan.runs];
      let longest = 0;
      const stream = async (): Promise<void> => {
        for (let run = queue.shift(); run; run = queue.shift()) {
          const work = timedWork();
          await copyChunks(migration, { pass: plan.pass, run }, work);
          longest = Math.max(longest, work.silence());
        }
      };
      await this.step(
        'copyChunks, all runs',
        async (work) => {
          const ticking = setInterval(() => work.beat({}), 100);
          await Promise.all(Array.from({ length: plan.parallelism }, stream));
          clearInterval(ticking);
        },
        () => `longest silence of a run ${(longest / 1000).toFixed(1)} s`,
      );
      return plan;
    } finally {
      owner.abort();
      await held.catch(() => undefined);
    }
  }

  /** Applies everything that is committed now. */
  async drain(name = 'streamChanges (drain)'): Promise<void> {
    const { migration } = this;
    const { stream, tables } = this.#input;
    const until = await writeEndMark(migration);
    await this.step(
      name,
      (work) =>
        streamChanges(
          migration,
          {
            ...{ floor: null, until, leaseMs: 60_000 },
            batchChanges: stream.batchChanges,
            batchMilliseconds: stream.batchMilliseconds,
            ...tables,
          },
          work,
        ),
      ({ transactions, changes }) => `${transactions} transactions, ${changes} changes`,
    );
  }

  /** Everything from the stream to the end. */
  async cutOver(): Promise<{ readonly sequences: number; readonly later: readonly string[] }> {
    const { migration } = this;
    const input = this.#input;
    const since = await writeEndMark(migration);
    await this.drain();
    await this.step('buildConstraints', (work) => buildConstraints(migration, input, work));
    await this.step('refreshViews', (work) => refreshViews(migration, input, null, work));
    await this.step(
      'compareCounts',
      (work) => compareCounts(migration, input, work),
      ({ tables, rows }) => `${tables} tables, ${rows} rows`,
    );
    const { sequences } = await this.step(
      'setSequences',
      (work) => setSequences(migration, input, work),
      (report) => `${report.sequences} set, ${report.missing.length} missing`,
    );
    await this.step(
      'compareDefinitions',
      (work) => definitionLines(migration, input, work),
      (differences) => differences.join('; ').slice(0, 200),
    );
    const later = await this.step(
      'laterChanges',
      (work) => laterChanges(migration, input, since, work.signal, work.beat),
      (names) => names.join(', ').slice(0, 200),
    );
    await this.step('enableTriggers', (work) => enableTriggers(migration, work));
    return { sequences, later };
  }

  /** Removes everything but the tables. */
  async end(): Promise<void> {
    const { migration } = this;
    await this.step('dropSlot', () => dropSlot(migration));
    await this.step('dropControl', async () => {
      await using target = await connect(migration.target, 'cleanup');
      await dropControl(target, migration);
    });
  }
}
