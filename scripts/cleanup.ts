/** `npm run cleanup`: lists and removes what earlier migrations left behind. */
import { Command } from 'commander';
import { LEFT_ON_TARGET, MigrationError } from '../contract/failure.ts';
import { cleanupCommand } from '../contract/shell-command.ts';
import { classify } from '../postgres/connection/failure.ts';
import { connect } from '../postgres/connection/connect.ts';
import { bytes } from '../workflows/wording.ts';
import { readLeftovers, selectLeftovers } from './cleanup/leftovers.ts';
import type { Leftovers } from './cleanup/leftovers.ts';
import { refusal, remove } from './cleanup/remove.ts';
import { knownRuns } from './cleanup/runs.ts';

interface Options {
  workflowId?: string;
  force: boolean;
}

const program = new Command('npm run cleanup --')
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
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
Examples:
  npm run cleanup -- orders_old orders_new
  npm run cleanup -- orders_old orders_new --workflow-id orders

Copied tables stay on the target, ${LEFT_ON_TARGET}.
While a run of the workflow id is open nothing is removed, not even with --force.
Exit codes: 0 listed or removed, 1 refused or nothing found for the id, 2 error.`,
  )
  .action(async (source: string, target: string, options: Options) => {
    process.exitCode = await cleanUp(source, target, options);
  });

async function cleanUp(
  sourceName: string,
  targetName: string,
  { workflowId, force }: Options,
): Promise<number> {
  await using source = await connect(sourceName, 'cleanup');
  await using target = await connect(targetName, 'cleanup');
  const leftovers = await readLeftovers(source, target, targetName);
  if (workflowId === undefined) {
    for (const line of list(leftovers, sourceName, targetName)) console.log(line);
    return 0;
  }
  const runs = await knownRuns(workflowId);
  const known = runs.reachable ? runs.slots : new Set<string>();
  const selection = selectLeftovers(leftovers, workflowId, known);
  const refused = refusal(workflowId, runs, selection, leftovers, force);
  if (refused !== undefined) {
    console.error(`cleanup: refused: ${refused}`);
    return 1;
  }
  const { slots, unsure, controls } = selection;
  if (slots.length + unsure.length + controls.length === 0) {
    console.error(
      `cleanup: workflow "${workflowId}" left nothing on "${sourceName}" and "${targetName}"`,
    );
    return 1;
  }
  const services = { source: sourceName, target: targetName };
  await remove({ source, target }, services, selection, (line) => console.log(line));
  console.log('copied tables on the target were not touched');
  return 0;
}

function list({ slots, controls }: Leftovers, source: string, target: string): string[] {
  if (slots.length + controls.length === 0) {
    return [`nothing is left on "${source}" and "${target}"`];
  }
  const lines = controls.map(({ workflowId, slot, createdAt, confirmedLsn }) => {
    const at = confirmedLsn === null ? 'before streaming' : `confirmed ${confirmedLsn}`;
    return `control schema on "${target}": workflow ${workflowId}, begun ${createdAt}, ${at}, slot ${slot}`;
  });
  for (const { name, retainedBytes, activePid } of slots) {
    const keeps = retainedBytes === null ? 'keeps no WAL' : `keeps ${bytes(retainedBytes)} of WAL`;
    const used = activePid === null ? 'not in use' : `in use by pid ${activePid}`;
    const owner = controls.find(({ slot }) => slot === name)?.workflowId;
    const whose = owner === undefined ? 'no control schema on the target' : `workflow ${owner}`;
    lines.push(`slot on "${source}": ${name}, ${keeps}, ${used}, ${whose}`);
  }
  lines.push(
    `remove what one left: ${cleanupCommand({ source, target }, controls[0]?.workflowId ?? 'ID')}`,
  );
  return lines;
}

try {
  await program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)).parseAsync();
} catch (error) {
  const failure =
    error instanceof MigrationError ? error : classify(error, { step: 'cleanup' }, 'Internal');
  // A local tool: the server's message helps the person at the terminal.
  const words = error instanceof Error && error !== failure ? ` (${error.message})` : '';
  console.error(`cleanup: ${failure.message}${words}`);
  process.exitCode = 2;
}
