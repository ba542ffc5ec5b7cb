/** The decision of a person where walferry cannot know: the target is gone, and with it the outcome of the cutover. */
import { migrationOf } from '../../contract/cutover.ts';
import { reverseOf } from '../../contract/reversed.ts';
import { parseProgress } from '../../contract/progress.ts';
import { connect } from '../../postgres/connection/connect.ts';
import { openGate, readGate } from '../../postgres/fence/gate.ts';
import { connectTemporal } from '../watch/temporal-client.ts';

const REFUSED = 1;

/**
 * Opens the gate of the source, and nothing else.
 * @returns the exit code.
 * @throws OperatorError when Temporal does not answer; MigrationError of the source.
 */
export async function forceUndo(workflowId: string, isShutDown: boolean): Promise<number> {
  await using temporal = await connectTemporal();
  const handle = temporal.client.workflow.getHandle(workflowId);
  const progress = parseProgress(await handle.query<unknown>('progress'));
  const { box, phase, slot } = progress;
  if (!box) return refused('no cutover of this workflow has stopped the writes');
  const { cutover } = box;
  const forward = { ...progress, id: migrationOf(cutover), workflowId, slot };
  // A switch back has stopped the writes on the new database, and its outcome is on the old one.
  const migration = phase === 'reverse' ? reverseOf(forward) : forward;
  const { source, target } = migration;
  if (!isShutDown) {
    return refused(
      `only "${target}" knows the outcome; give --target-is-shut-down when it is shut down for good`,
    );
  }
  if (await answers(target)) {
    return refused(
      `"${target}" answers: use pause, which undoes the cutover or says that it has switched`,
    );
  }
  const client = await connect(source, 'cleanup');
  try {
    const gate = await readGate(client, migration);
    if (gate?.cutover !== cutover) {
      return refused(`the fence on "${source}" is not that of cutover ${cutover}`);
    }
    await openGate(client, migration, cutover);
  } finally {
    await client.end();
  }
  console.log(
    `"${source}" takes writes again. Never start "${target}" again as a database of the application: it may have switched.`,
  );
  return 0;
}

async function answers(service: string): Promise<boolean> {
  try {
    const client = await connect(service, 'cleanup');
    await client.end();
    return true;
  } catch {
    return false;
  }
}

function refused(why: string): number {
  console.error(`nothing was done: ${why}`);
  return REFUSED;
}
