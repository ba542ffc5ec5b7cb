/** `npm run replay`: can workers of this checkout continue a migration that older ones began? Changes nothing. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { Command } from 'commander';
import { bundleForReplay, mismatchOf } from './replay/fit.ts';
import { NoTemporal, connectTemporal } from './watch/temporal.ts';

const program = new Command('npm run replay --')
  .description(
    'Replays the history of a running migration with the workflow code of this checkout, to check that its workers can continue it.',
  )
  .argument('<workflow-id>', 'the migration')
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
To be run before workers are updated under a running migration. Reads the history, changes nothing.
Exit codes: 0 fits, 1 does not fit, 2 error.`,
  )
  .action(async (workflowId: string) => {
    process.exitCode = await replay(workflowId);
  });

async function replay(workflowId: string): Promise<number> {
  await using temporal = await connectTemporal();
  const history = await temporal.client.workflow.getHandle(workflowId).fetchHistory();
  const mismatch = await mismatchOf(await bundleForReplay(), history, workflowId);
  const events = `${history.events?.length ?? 0} events`;
  if (mismatch === null) {
    console.log(`fits: workers of this version can continue "${workflowId}" (${events} replayed)`);
    return 0;
  }
  console.error(
    `does not fit: "${workflowId}" was started by workflow code with different steps; keep workers of that version until it has ended (${mismatch})`,
  );
  return 1;
}

try {
  await program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)).parseAsync();
} catch (error) {
  const known = error instanceof NoTemporal || error instanceof WorkflowNotFoundError;
  console.error(`replay: ${known ? error.message : String(error)}`);
  process.exitCode = 2;
}
// The native runtime of the replay keeps the process alive.
process.exit();
