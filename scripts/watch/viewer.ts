/** `walferry watch`: from the first sample to the end of the migration. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgressModel } from './model.ts';
import { Observer } from './observer.ts';
import { isOpen } from './sample.ts';
import { screenFor } from './screen.ts';
import { tableLines } from './table-list.ts';
import { connectTemporal } from './temporal-client.ts';

const LOOK_EVERY_MS = 1_000;

/** @returns the exit code: 0 when the migration is done, 1 when it ended in another way. */
export async function watch(workflowId: string): Promise<number> {
  // A reader that ended (`walferry watch … | head`) is no error.
  process.stdout.on('error', () => process.exit(0));
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

/** Prints the tables and their states once. @returns the exit code 0. @throws NoTables, UnknownWorkflow. */
export async function list(workflowId: string, json: boolean): Promise<number> {
  process.stdout.on('error', () => process.exit(0));
  await using temporal = await connectTemporal();
  const observer = new Observer(temporal, workflowId);
  for (const line of await tableLines(temporal, observer, workflowId, json)) console.log(line);
  return 0;
}
