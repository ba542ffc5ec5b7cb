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
    .option('--tables', 'list all tables once: state, rows, bytes, lag or reason', false)
    .option('--json', 'with --tables: print one JSON object', false)
    .addHelpText(
      'after',
      `
Examples:
  walferry watch orders
  walferry watch orders | tee orders.log        plain lines instead of a block
  walferry watch orders --tables                reads the control schema on the target

The server is found as the Temporal CLI finds it (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, …).
Ctrl-C ends only the watching, never the migration.
Exit codes: 0 migration done or tables listed, 1 failed, aborted, cancelled or terminated, 2 unknown id, no server or no tables, 130 after Ctrl-C.`,
    )
    .action(async (workflowId: string, { tables, json }: { tables: boolean; json: boolean }) => {
      if (json && !tables) program.error('error: --json needs --tables');
      const { list, watch } = await import('../watch/viewer.ts');
      process.exitCode = tables ? await list(workflowId, json) : await watch(workflowId);
    });
}
