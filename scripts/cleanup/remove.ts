/** Removes what one workflow id left, after all safety checks. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { shellWord } from '../../contract/shell-command.ts';
import { sharedId } from '../../contract/reversed.ts';
import { slotName } from '../../contract/slot-name.ts';
import { endStoredFence, openReturned } from '../../postgres/fence/end-stored-fence.ts';
import { forgetSides } from '../../postgres/store/side.ts';
import { endOnTarget } from '../../postgres/schema/drop-control.ts';
import { runLateGrants } from '../../postgres/schema/late-grant.ts';
import { enableTriggers } from '../../postgres/schema/disable-trigger.ts';
import { removeSlot } from '../../postgres/slot/drop-slot.ts';
import type { Leftovers, LeftWayBack, Selection } from './leftovers.ts';
import type { KnownRuns } from './runs.ts';

/** Why nothing is removed; undefined when there is no objection. Pure. */
export function refusal(
  workflowId: string,
  runs: KnownRuns,
  selection: Selection,
  leftovers: Leftovers,
  force: boolean,
): string | undefined {
  if (runs.reachable && runs.open) {
    return `a run of workflow "${workflowId}" is open (running, or paused in Temporal); end it first: temporal workflow update execute -w ${shellWord(workflowId)} --name abort (or temporal workflow terminate -w ${shellWord(workflowId)})`;
  }
  if (force) return undefined;
  if (!runs.reachable) {
    return `${runs.reason} A run of "${workflowId}" may still be open. If you are sure that none is: --force`;
  }
  const active = selection.slots.find(({ activePid }) => activePid !== null);
  if (active) {
    return `slot ${active.name} is in use by process ${active.activePid} of the source: a migration is streaming from it. To end it anyway: --force`;
  }
  const unknown = selection.controls.find(({ slot }) => !runs.slots.has(slot));
  const lost = leftovers.backs.find(
    (one) =>
      one.workflowId === workflowId && !runs.slots.has(slotName(workflowId, sharedId(one.id))),
  );
  if (unknown ?? lost) {
    return `this Temporal server does not know the run that the control schema belongs to (${(unknown ?? lost)?.id}): do TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE match those of the worker? If no run is open anywhere: --force`;
  }
  const foreign = selection.controls.find(
    ({ sourceSystem, sourceDatabase }) =>
      sourceSystem !== leftovers.sourceSystem || sourceDatabase !== leftovers.sourceDatabase,
  );
  if (foreign) {
    return `the control schema on the target belongs to a migration from another source (database "${foreign.sourceDatabase}"), where its slot "${foreign.slot}" may still keep WAL: name that source, or use --force to remove the control schema alone`;
  }
  if (selection.unsure.length > 0) {
    const names = selection.unsure.map(({ name }) => name).join(', ');
    return `${names} may belong to "${workflowId}" or to another id with the same slot prefix; if it is yours: --force`;
  }
  return undefined;
}

/**
 * Slots first: the control rows name them, so that a second call finds what a first one did not finish.
 * @param say gets one line for each removed object.
 */
export async function remove(
  sides: { source: pg.Client; target: pg.Client },
  services: Pick<Migration, 'source' | 'target'>,
  selection: Selection,
  say: (line: string) => void,
): Promise<void> {
  for (const { name } of [...selection.slots, ...selection.unsure]) {
    await removeSlot(sides.source, name);
    say(`dropped slot ${name} on "${services.source}"`);
  }
  for (const { id, workflowId, slot } of selection.controls) {
    const migration = { id, workflowId, slot, ...services };
    for (const line of await endStoredFence(sides.source, sides.target, migration)) {
      say(line);
    }
    // The operator named the servers: the target may be a copy of the original one.
    await forgetSides(sides.target, id);
    // Only the control schema knows which triggers were disabled for the stream.
    await enableTriggers(migration, {}, 'the source if it is there');
    await runLateGrants(migration);
    await endOnTarget(sides.target, migration);
    say(`removed the control schema of ${workflowId} (${id}) on "${services.target}"`);
  }
}

/** The slot of a way back is on the target, and its state on the source. Its triggers on the source get their recorded state. */
export async function removeWayBack(
  { source, target }: { source: pg.Client; target: pg.Client },
  services: Pick<Migration, 'source' | 'target'>,
  { id, workflowId, slot }: LeftWayBack,
  say: (line: string) => void,
): Promise<void> {
  const reverse = {
    ...{ id, workflowId, slot },
    ...{ source: services.target, target: services.source },
  };
  if ((await removeSlot(target, slot)) === 'dropped') {
    say(`dropped slot ${slot} on "${services.target}"`);
  }
  // Only the control schema on the old database knows what a switch back has taken on the new one.
  for (const line of await endStoredFence(target, source, reverse)) say(line);
  const migration = { ...services, id: sharedId(id), workflowId, slot };
  for (const line of await openReturned(source, target, migration, reverse)) say(line);
  await forgetSides(source, id);
  await enableTriggers(reverse, {}, 'nothing');
  await endOnTarget(source, reverse);
  say(`removed the way back of ${workflowId} on "${services.source}"`);
}
