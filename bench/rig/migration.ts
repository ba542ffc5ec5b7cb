/** One migration of walferry as an operator runs it: a workflow, its progress, its updates. */
import type { Client, WorkflowHandle } from '@temporalio/client';
import { parseProgress, type Phase, type Progress } from '../../contract/progress.ts';
import { TASK_QUEUE } from '../../workers/options.ts';
import { Hopeless, until } from '../../tests/support/until.ts';

let started = 0;

export interface MigrationOptions {
  readonly source: string;
  readonly target: string;
  /** The rest of the input: `copy`, `stream`, … */
  readonly input?: Readonly<Record<string, unknown>>;
}

export class BenchMigration {
  readonly handle: WorkflowHandle;

  private constructor(handle: WorkflowHandle) {
    this.handle = handle;
  }

  static async start(client: Client, options: MigrationOptions): Promise<BenchMigration> {
    const { source, target, input = {} } = options;
    started += 1;
    const handle = await client.workflow.start('migrateDatabase', {
      taskQueue: TASK_QUEUE,
      workflowId: `bench-${process.pid}-${started}`,
      // Its source is used again, which a fence would leave sealed.
      args: [{ source, target, fence: 'none', ...input }],
    });
    return new BenchMigration(handle);
  }

  async progress(): Promise<Progress> {
    return parseProgress(await this.handle.query<unknown>('progress'));
  }

  /**
   * Waits for a phase.
   * @param everyMilliseconds how often it queries: each query costs the worker and Temporal's server some milliseconds. 50 per
   * second cost a quarter of the speed of a copy; the measured times are those that the workflow records.
   * @throws Error when the migration ends before it, or waits for its operator.
   */
  async phase(phase: Phase, seconds = 900, everyMilliseconds = 500): Promise<Progress> {
    return until(
      `phase ${phase}`,
      async () => {
        const now = await this.progress();
        if (now.phase === phase) return now;
        if (now.state === 'waiting' || ['done', 'failed', 'aborted'].includes(now.phase)) {
          throw new Hopeless(`${now.phase}, ${now.state}: ${now.waiting?.reason ?? ''}`);
        }
        return null;
      },
      { seconds, everyMilliseconds },
    );
  }

  async pause(): Promise<void> {
    await this.handle.executeUpdate('pause');
  }

  async resume(): Promise<void> {
    await this.handle.executeUpdate('resume');
  }

  /** Ends the migration and drops its slot. */
  async abort(): Promise<void> {
    await this.handle.executeUpdate('abort').catch(() => undefined);
    await this.handle.result().catch(() => undefined);
  }
}
