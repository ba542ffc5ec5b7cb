/**
 * One real migration for one test: a fresh pair of databases, worker processes, and the operator's commands through the
 * Temporal CLI. At the end of the scope the workflow is ended, workers are killed and the databases dropped.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { WorkflowFailedError, type Client, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type pg from 'pg';
import { connectTemporal as connectWatch } from '../../scripts/watch/temporal-client.ts';
import { Observer } from '../../scripts/watch/observer.ts';
import type { Sample } from '../../scripts/watch/sample.ts';
import { parseProgress, type Phase, type Progress } from '../../contract/progress.ts';
import { connectTo, freshPair } from './database.ts';
import { expectContained, expectEqual } from './equality.ts';
import type { Encodings, FreshPair, Places } from './database.ts';
import { Load } from './load.ts';
import { testRun } from './run.ts';
import { connectTemporal, temporal } from './temporal.ts';
import type { CliOutcome } from './temporal.ts';
import { Hopeless, until } from './until.ts';
import { startWorker } from './worker.ts';
import type { WorkerOptions, WorkerProcess } from './worker.ts';

/** The fence that an input without one gets; a busy machine is no reason to undo, and sequences are compared exactly. */
export const BY_DEFAULT = {
  fence: undefined,
  cutover: { sequenceMargin: 0, maxDowntimeSeconds: 300 },
};

export class Lab implements AsyncDisposable {
  readonly pair: FreshPair;
  readonly id: string;
  readonly workers: WorkerProcess[] = [];
  readonly #client: Client & AsyncDisposable;
  readonly #loads: Load[] = [];
  /** The findings, once preflight has refused the migration. */
  #refused: string | null = null;
  /** Whether the test asks how the migration ended: then a refusal may be expected. */
  #expectsEnd = false;

  private constructor(pair: FreshPair, client: Client & AsyncDisposable) {
    this.pair = pair;
    this.id = `lab-${randomBytes(5).toString('hex')}`;
    this.#client = client;
  }

  /**
   * @param sql run on the source before anything else.
   * @param places servers of other versions than the run's.
   */
  static async open(sql: string, places: Places = {}, encodings: Encodings = {}): Promise<Lab> {
    const pair = await freshPair(places, encodings);
    await pair.sourceClient.query(sql);
    return new Lab(pair, await connectTemporal());
  }

  /** A worker on this lab's own task queue: labs may run in parallel. */
  async worker(options: Omit<WorkerOptions, 'args'> = {}): Promise<WorkerProcess> {
    const worker = await startWorker({ ...options, args: ['--task-queue', this.id] });
    this.workers.push(worker);
    return worker;
  }

  /** Starts an application that writes to the source until it is stopped. */
  load(streams = 3): Load {
    const load = new Load(() => connectTo(this.pair.source), streams);
    this.#loads.push(load);
    return load;
  }

  /**
   * Starts the workflow as an operator does: the CLI, and an input file. Without verification unless the test asks for it: it would
   * read every table, and a cutover would wait for it.
   * @param input without a fence unless it has one, because many tests go on writing to the source; see
   *   {@link BY_DEFAULT}.
   */
  async start(input: Record<string, unknown> = {}): Promise<CliOutcome> {
    // One commit on the target for each commit on the source is too slow when several labs run in parallel.
    const own = typeof input['stream'] === 'object' ? input['stream'] : {};
    const stream = { batchMilliseconds: 100, ...own };
    const { source, target } = this.pair;
    return this.startRaw({ source, target, fence: 'none', verify: 'off', ...input, stream });
  }

  /** Starts the workflow with exactly this input, right or wrong. */
  async startRaw(input: unknown): Promise<CliOutcome> {
    const file = path.join(mkdtempSync(path.join(testRun().folder, 'input-')), 'migration.json');
    writeFileSync(file, JSON.stringify(input));
    const outcome = await temporal(
      ...['workflow', 'start', '--type', 'migrateDatabase', '--task-queue', this.id],
      ...['--workflow-id', this.id, '--input-file', file, '--fail-existing'],
    );
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
    this.#refused = null;
    this.#expectsEnd = false;
    void this.#watch();
    return outcome;
  }

  /** A migration that preflight refused will never produce what a test waits for. */
  async #watch(): Promise<void> {
    try {
      await this.handle.result();
    } catch (error) {
      const { cause } = error instanceof WorkflowFailedError ? error : {};
      if (cause instanceof ApplicationFailure && cause.type === 'Preflight') {
        this.#refused = cause.message;
      }
    }
  }

  /** @throws Hopeless with the findings when preflight has refused the migration and nothing in the test expects an end. */
  expectAccepted(): void {
    if (this.#refused !== null && !this.#expectsEnd)
      throw new Hopeless(`${this.id}: ${this.#refused}`);
  }

  /** An update through the CLI: `pause`, `resume`, `cutover`, `abort`. */
  async update(name: string, input?: unknown): Promise<CliOutcome> {
    const words = ['workflow', 'update', 'execute', '-w', this.id, '--name', name];
    if (input !== undefined) words.push('--input', JSON.stringify(input));
    return temporal(...words);
  }

  get handle(): WorkflowHandle {
    return this.#client.workflow.getHandle(this.id);
  }

  /** @throws as {@link expectAccepted}. */
  async progress(): Promise<Progress> {
    this.expectAccepted();
    return parseProgress(await this.handle.query<unknown>('progress'));
  }

  /** Current Details, as the Web UI shows them. */
  async details(): Promise<string> {
    const answer = await this.handle.query<{ currentDetails?: string }>(
      '__temporal_workflow_metadata',
    );
    return answer.currentDetails ?? '';
  }

  /** What `walferry watch` sees, including heartbeats. */
  async look(): Promise<Sample> {
    await using temporal = await connectWatch();
    return await new Observer(temporal, this.id).look();
  }

  /** Waits for a phase; fails at once with the workflow's failure if it ended before. */
  async phase(phase: Phase, seconds = 90): Promise<Progress> {
    const ends: readonly Phase[] = ['done', 'failed', 'aborted'];
    const seen = await until(
      `phase ${phase}`,
      async () => {
        const now = await this.progress();
        return now.phase === phase || now.state === 'waiting' || ends.includes(now.phase)
          ? now
          : null;
      },
      { seconds },
    );
    if (seen.phase === phase) return seen;
    // Waiting longer would hide the reason: the migration ended or waits for its operator.
    const why = seen.waiting?.reason ?? (await this.#ending()).text;
    throw new Error(`${this.id} is ${seen.state} in phase ${seen.phase}: ${why}`);
  }

  /** Waits until the migration waits for its operator. */
  async waiting(seconds = 90): Promise<Progress> {
    return until(
      'the migration to wait for its operator',
      async () => {
        const now = await this.progress();
        return now.state === 'waiting' ? now : null;
      },
      { seconds },
    );
  }

  /** How the workflow ended: `COMPLETED`, `FAILED`, …, with the failure's text from the CLI. */
  async ending(seconds = 60): Promise<{ status: string; text: string }> {
    this.#expectsEnd = true;
    return this.#ending(seconds);
  }

  async #ending(seconds = 60): Promise<{ status: string; text: string }> {
    const status = await until(
      'the workflow to end',
      async () => {
        const { status } = await this.handle.describe();
        return status.name === 'RUNNING' ? null : status.name;
      },
      { seconds },
    );
    const described = await temporal('workflow', 'result', '-w', this.id, '-o', 'json');
    return { status, text: described.stdout + described.stderr };
  }

  /** Stops the writers, cuts over, and expects source and target equal and nothing left behind. */
  async finish(): Promise<void> {
    for (const load of this.#loads) await load.stop();
    const answer = await this.update('cutover');
    expect(answer.code, answer.stderr + answer.stdout).toBe(0);
    expect((await this.ending()).status).toBe('COMPLETED');
    await this.expectEqual();
    await this.expectNothingLeft();
  }

  /** Exact comparison of every row and sequence, over new connections: servers may have been restarted. */
  async expectEqual(): Promise<void> {
    await using source = await connectTo(this.pair.source);
    await using target = await connectTo(this.pair.target);
    await expectEqual(source, target);
  }

  /**
   * After an early end: rows may be missing on the target, but each row there is a row of the source.
   */
  async expectContained(): Promise<void> {
    await using source = await connectTo(this.pair.source);
    await using target = await connectTo(this.pair.target);
    await expectContained(source, target);
  }

  /** No slot on the source, no control schema on the target, no session of walferry on either. */
  async expectNothingLeft(): Promise<void> {
    await using source = await connectTo(this.pair.source);
    await using target = await connectTo(this.pair.target);
    const slots = await source.query(
      /* sql */ `select slot_name from pg_replication_slots where database = current_database()`,
    );
    expect(slots.rows).toEqual([]);
    const schemas = await target.query(
      /* sql */ `select nspname from pg_namespace where nspname = 'walferry'`,
    );
    expect(schemas.rows).toEqual([]);
    await Promise.all([source, target].map(expectNoSession));
  }

  /** Rows of a query on the target, e.g. on the control schema. */
  async onTarget<T extends object>(sql: string): Promise<T[]> {
    this.expectAccepted();
    return (await this.pair.targetClient.query<T>(sql)).rows;
  }

  async onSource<T extends object>(sql: string): Promise<T[]> {
    return (await this.pair.sourceClient.query<T>(sql)).rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const load of this.#loads) await load.stop();
    await this.handle.terminate('end of the test').catch(() => undefined);
    for (const worker of this.workers) await worker.kill();
    await this.#client[Symbol.asyncDispose]();
    await this.pair[Symbol.asyncDispose]();
  }
}

/**
 * Waits instead of checking once: a backend notices within a second that its client is gone
 * (`client_connection_check_interval`).
 */
async function expectNoSession(client: pg.Client): Promise<void> {
  await until("walferry's sessions to end", async () => {
    const { rows } = await client.query<{ session: string }>(/* sql */ `
      select application_name || ' (' || backend_type || ', ' || coalesce(state, 'no state') || ')' as session
      from pg_stat_activity where datname = current_database() and application_name like 'walferry%'`);
    if (rows.length > 0) throw new Error(rows.map(({ session }) => session).join(', '));
    return true;
  });
}
