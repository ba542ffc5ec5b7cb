/** `walferry cleanup`: from what is there to what is removed. */
import { cleanupCommand } from '../../contract/shell-command.ts';
import { connect } from '../../postgres/connection/connect.ts';
import { bytes } from '../../workflows/wording.ts';
import { explained } from '../explained.ts';
import { readLeftovers, selectLeftovers } from './leftovers.ts';
import type { Leftovers } from './leftovers.ts';
import { describeFences, fencesOf, removeFences } from './remove-fences.ts';
import { refusal, remove, removeWayBack } from './remove.ts';
import { knownRuns } from './runs.ts';

export interface CleanupOptions {
  /** Removes what this one left; without it everything is listed. */
  readonly workflowId?: string;
  readonly force: boolean;
}

/**
 * @returns the exit code: 1 when the removal is refused.
 * @throws OperatorError with the server's words.
 */
export async function cleanUp(
  source: string,
  target: string,
  options: CleanupOptions,
): Promise<number> {
  try {
    return await listOrRemove(source, target, options);
  } catch (error) {
    throw explained(error, 'cleanup');
  }
}

async function listOrRemove(
  sourceName: string,
  targetName: string,
  { workflowId, force }: CleanupOptions,
): Promise<number> {
  await using source = await connect(sourceName, 'cleanup');
  await using target = await connect(targetName, 'cleanup');
  const services = { source: sourceName, target: targetName };
  const leftovers = await readLeftovers(source, target, services);
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
  const fences = fencesOf(leftovers, workflowId);
  const backs = leftovers.backs.filter((one) => one.workflowId === workflowId);
  if (slots.length + unsure.length + controls.length + fences.length + backs.length === 0) {
    // Whoever repeats a removal wants to know that it is done: no failure.
    console.log(
      `nothing to remove: workflow "${workflowId}" left nothing on "${sourceName}" and "${targetName}"`,
    );
    return 0;
  }
  const say = (line: string) => console.log(line);
  // First its slot, which keeps WAL of the live database; also when the control schema on the target is gone.
  for (const back of backs) await removeWayBack({ source, target }, services, back, say);
  await remove({ source, target }, services, selection, say);
  await removeFences({ source, target }, services, fences, say);
  console.log('copied tables on the target were not touched');
  return 0;
}

function list(leftovers: Leftovers, source: string, target: string): string[] {
  const { slots, controls, fences, backs } = leftovers;
  const found = [slots, controls, backs, fences.source, fences.target];
  if (found.every(({ length }) => length === 0)) {
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
  for (const { workflowId, slot } of backs) {
    lines.push(`way back on "${source}": workflow ${workflowId}, slot ${slot} on "${target}"`);
  }
  lines.push(...describeFences(leftovers, { source, target }));
  const some = controls[0] ?? backs[0] ?? fences.target[0] ?? fences.source[0];
  lines.push(
    `remove what one left: ${cleanupCommand({ source, target }, some?.workflowId ?? 'ID')}`,
  );
  return lines;
}
