/** Removing what one workflow id left, after everything that speaks against it was looked at. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { forgetSides } from '../../postgres/control/side.ts';
import { endOnTarget } from '../../postgres/schema/end.ts';
import { runLateGrants } from '../../postgres/schema/late-grant.ts';
import { enableTriggers } from '../../postgres/schema/disable-trigger.ts';
import { removeSlot } from '../../postgres/slot/drop.ts';
import type { Leftovers, Selection } from './leftovers.ts';
import type { KnownRuns } from './runs.ts';

/** Why nothing is removed; pure. Undefined when nothing speaks against it. */
export function refusal(
  workflowId: string,
  runs: KnownRuns,
  selection: Selection,
  leftovers: Leftovers,
  force: boolean,
): string | undefined {
  if (runs.reachable && runs.open) {
    return `a run of workflow "${workflowId}" is open (running, or paused in Temporal); end it first: temporal workflow update execute -w ${workflowId} --name abort (or temporal workflow terminate -w ${workflowId})`;
  }
  if (force) return undefined;
  if (!runs.reachable) {
    return `${runs.reason} So nobody knows whether a run of "${workflowId}" is still open. If you know that none is: --force`;
  }
  const active = selection.slots.find(({ activePid }) => activePid !== null);
  if (active) {
    return `slot ${active.name} is in use by process ${active.activePid} of the source: a migration is streaming from it. If it is to end all the same: --force`;
  }
  const unknown = selection.controls.find(({ slot }) => !runs.slots.has(slot));
  if (unknown) {
    return `this Temporal server does not know the run that the control schema belongs to (${unknown.id}): is TEMPORAL_ADDRESS or TEMPORAL_NAMESPACE another one than the worker's? If no run is open anywhere: --force`;
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
    return `nothing tells for certain that ${names} belongs to "${workflowId}" and not to an id that reads the same; if it does: --force`;
  }
  return undefined;
}

/**
 * Slots first: the control rows name them, so that a second call finds what a first one did not get done.
 * @param say gets one line for each thing that is gone.
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
    // The operator has named the servers: what is cleaned up may be a copy of the target.
    await forgetSides(sides.target, id);
    // The control schema alone knows which triggers were switched off for the stream.
    await enableTriggers({ id, workflowId, slot, ...services }, {}, 'the source if it is there');
    await runLateGrants({ id, workflowId, slot, ...services });
    await endOnTarget(sides.target, { id, workflowId, slot, ...services });
    say(`removed the control schema of ${workflowId} (${id}) on "${services.target}"`);
  }
}
