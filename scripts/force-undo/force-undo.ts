/** The decision of a person where walferry cannot know: the target is gone, and with it the outcome of the cutover. */
import { migrationOf } from '../../contract/cutover.ts';
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
  const { box, source, target, slot } = parseProgress(await handle.query<unknown>('progress'));
  if (!box) return refused('no cutover of this workflow has stopped the writes');
  if (!isShutDown) {
    return refused(
      `only the target "${target}" knows the outcome; give --target-is-shut-down when it is shut down for good`,
    );
  }
  if (await answers(target)) {
    return refused(
      `"${target}" answers: use pause, which undoes the cutover or says that it has switched`,
    );
  }
  const { cutover } = box;
  const migration = { id: migrationOf(cutover), workflowId, source, target, slot };
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
