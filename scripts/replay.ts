/** `npm run replay`: can workers of this checkout go on with a migration that older ones began? Changes nothing. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { Command } from 'commander';
import { bundleForReplay, mismatchOf } from './replay/fit.ts';
import { NoTemporal, connectTemporal } from './watch/temporal.ts';

const program = new Command('npm run replay --')
  .description(
    'Replays the history of a running migration with the workflow code of this checkout: whether workers of it can go on with it.',
  )
  .argument('<workflow-id>', 'the migration')
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
To be asked before workers are updated under a running migration. Reads the history, changes nothing.
Exit codes: 0 fits, 1 does not fit, 2 error.`,
  )
  .action(async (workflowId: string) => {
    process.exitCode = await replay(workflowId);
  });

async function replay(workflowId: string): Promise<number> {
  await using temporal = await connectTemporal();
  const history = await temporal.client.workflow.getHandle(workflowId).fetchHistory();
  const shapeMismatch = await mismatchOf(await bundleForReplay(), history, workflowId);
  const events = `${history.events?.length ?? 0} events`;
  if (shapeMismatch === null) {
    console.log(`fits: workers of this version go on with "${workflowId}" (${events} replayed)`);
    return 0;
  }
  console.error(
    `does not fit: "${workflowId}" was begun by workflow code that takes other steps; keep workers of that version until it has ended (${shapeMismatch})`,
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
