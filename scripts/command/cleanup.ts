/** `walferry cleanup`: lists and removes what earlier migrations left behind. */
import type { Command } from 'commander';
import { LEFT_ON_TARGET } from '../../contract/failure-catalogue.ts';

interface Options {
  readonly workflowId?: string;
  readonly force: boolean;
}

export function declareCleanup(program: Command): void {
  program
    .command('cleanup')
    .summary('list or remove what earlier migrations left behind')
    .description(
      'Lists what earlier migrations left behind on two PostgreSQL services, or removes what one of them left.',
    )
    .argument('<source>', 'PostgreSQL service with the slots')
    .argument('<target>', 'PostgreSQL service with the control schema')
    .option('--workflow-id <id>', 'remove the slot and the control schema of this workflow id')
    .option(
      '--force',
      'skip the safety checks: Temporal server unavailable, slot in use (its session is ended), other source, owner uncertain',
      false,
    )
    .addHelpText(
      'after',
      `
Examples:
  walferry cleanup orders_old orders_new
  walferry cleanup orders_old orders_new --workflow-id orders

Copied tables stay on the target, ${LEFT_ON_TARGET}.
While a run of the workflow id is open nothing is removed, not even with --force.
Exit codes: 0 listed, removed, or nothing left to remove, 1 refused, 2 error.`,
    )
    .action(async (source: string, target: string, options: Options) => {
      const { cleanUp } = await import('../cleanup/cleaner.ts');
      process.exitCode = await cleanUp(source, target, options);
    });
}
