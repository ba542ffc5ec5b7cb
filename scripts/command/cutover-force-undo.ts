/**
 * `walferry cutover-force-undo`: gives the writes back on the source when the target is gone for good. Not in the list of commands:
 * the message of a cutover that waits for its target names it.
 */
import type { Command } from 'commander';

export function declareCutoverForceUndo(program: Command): void {
  program
    .command('cutover-force-undo', { hidden: true })
    .summary('open a sealed source whose target is gone for good')
    .description(
      'Opens the source of a cutover whose outcome only the target knows. Only for a target that is shut down for good: if it comes back as "switched", both databases take writes, and rows are lost or doubled.',
    )
    .argument('<workflow-id>', 'id of the workflow, whose cutover has stopped the writes')
    .option('--target-is-shut-down', 'you have made sure that the target never comes back', false)
    .addHelpText(
      'after',
      `
Example:
  walferry cutover-force-undo orders --target-is-shut-down

Use pause instead whenever the target answers: it undoes the cutover, or reports that it has switched.
Terminate the workflow afterwards (temporal workflow terminate): it waits for the target for ever.
Exit codes: 0 opened, 1 refused, 2 error.`,
    )
    .action(async (workflowId: string, options: { targetIsShutDown: boolean }) => {
      const { forceUndo } = await import('../force-undo/force-undo.ts');
      process.exitCode = await forceUndo(workflowId, options.targetIsShutDown);
    });
}
