/** `walferry watch`: shows a running migration until it ends. */
import type { Command } from 'commander';

export function declareWatch(program: Command): void {
  program
    .command('watch')
    .summary('show a running migration until it ends')
    .description('Shows phase, numbers, rate, ETA and lag of a migration until it ends.')
    .argument(
      '<workflow-id>',
      'id of the workflow; the newest run is shown, across continue-as-new',
    )
    .addHelpText(
      'after',
      `
Examples:
  walferry watch orders
  walferry watch orders | tee orders.log        plain lines instead of a block

The server is found as the Temporal CLI finds it (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, …).
Ctrl-C ends only the watching, never the migration.
Exit codes: 0 migration done, 1 failed, aborted, cancelled or terminated, 2 unknown id or no server.`,
    )
    .action(async (workflowId: string) => {
      const { watch } = await import('../watch/viewer.ts');
      process.exitCode = await watch(workflowId);
    });
}
