/** `npm run watch`: shows a running migration until it ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { ProgressModel } from './watch/model.ts';
import { Observer, UnknownWorkflow } from './watch/observer.ts';
import { isOpen } from './watch/sample.ts';
import { screenFor } from './watch/screen.ts';
import { NoTables, tableLines } from './watch/table-list.ts';
import { NoTemporal, connectTemporal } from './watch/temporal.ts';

const LOOK_EVERY_MS = 1_000;

const program = new Command('npm run watch --')
  .description('Shows phase, numbers, rate, ETA and lag of a migration until it ends.')
  .argument('<workflow-id>', 'id of the workflow; the newest run is shown, across continue-as-new')
  .option('--tables', 'list all tables once: state, rows, bytes, lag or reason', false)
  .option('--json', 'with --tables: print one JSON object', false)
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
Examples:
  npm run watch -- orders
  npm run watch -- orders | tee orders.log        plain lines instead of a block
  npm run watch -- orders --tables                reads the control schema on the target

The server is found as the Temporal CLI finds it (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, …).
Ctrl-C ends only the watching, never the migration.
Exit codes: 0 migration done or tables listed, 1 failed, aborted, cancelled or terminated, 2 unknown id, no server or no tables.`,
  )
  .action(async (workflowId: string, { tables, json }: { tables: boolean; json: boolean }) => {
    if (json && !tables) program.error('error: --json needs --tables');
    process.exitCode = tables ? await list(workflowId, json) : await watch(workflowId);
  });

async function list(workflowId: string, json: boolean): Promise<number> {
  await using temporal = await connectTemporal();
  const observer = new Observer(temporal, workflowId);
  for (const line of await tableLines(temporal, observer, workflowId, json)) console.log(line);
  return 0;
}

async function watch(workflowId: string): Promise<number> {
  await using temporal = await connectTemporal();
  const observer = new Observer(temporal, workflowId);
  const model = new ProgressModel();
  const first = await observer.look();
  const screen = screenFor(workflowId, process.stdout);
  // The block hides the cursor, which must be restored.
  process.once('SIGINT', () => {
    screen.end();
    process.exit(130);
  });
  let sample = first;
  while (isOpen(sample.status) || sample.status === 'CONTINUED_AS_NEW') {
    screen.show(model.view(sample));
    await sleep(LOOK_EVERY_MS);
    sample = await observer.look();
  }
  screen.show(model.view(sample));
  const { ok, text } = await observer.ending();
  screen.say(`${workflowId}: ${sample.status.toLowerCase().replace('_', ' ')}: ${text}`);
  screen.end();
  return ok ? 0 : 1;
}

// A reader that ended (`npm run watch … | head`) is no error.
process.stdout.on('error', () => process.exit(0));

try {
  await program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)).parseAsync();
} catch (error) {
  const known = error instanceof UnknownWorkflow || error instanceof NoTemporal;
  if (!known && !(error instanceof NoTables)) throw error;
  console.error(`watch: ${error.message}`);
  process.exitCode = 2;
}
