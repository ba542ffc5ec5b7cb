/**
 * From the comparison under load to the switch back: nothing here stops the application. It is refused for a while, tries again, and
 * its own words say for how long.
 */
import type { WriterOrder } from './writer-process.ts';
import { WriterProcess } from './writer-process.ts';
import type { Scene } from './kills.ts';
import { update } from './operator-command.ts';

const MOVE_SECONDS = 60;
const BACK_SECONDS = 60;

/** What a switch cost. */
export interface Switch {
  /** As walferry measured it; undefined when the answer has no such number. */
  readonly downtime: string | undefined;
  /** As the application saw it. */
  readonly application: string;
}

/** Every row on both sides, while the application writes. @returns the answer. */
export async function verifyUnderLoad(scene: Scene): Promise<string> {
  const { follower, say, workflowId } = scene;
  say('>>> every row on both sides is compared, while the application writes …');
  return follower.during(update(workflowId, 'verify', say));
}

/** The application tries both databases in turn: the old one refuses from the fence on, the new one until the release. */
export async function cutOver(scene: Scene, writer: WriterProcess): Promise<Switch> {
  const { follower, say, workflowId } = scene;
  say(
    '>>> cutover: "source" refuses writes from now on, for 30 s at most; the application goes on trying',
  );
  const answer = await follower.during(update(workflowId, 'cutover', say));
  const moved = await follower.until('the application on the target', MOVE_SECONDS, () =>
    writer.said(/"target" takes writes: none for (?<seconds>[\d.]+) s, (?<refused>\d+) refused/),
  );
  const { seconds = '?', refused = '?' } = moved.groups ?? {};
  const application = `${seconds} s without a write, ${refused} refused`;
  say(`>>> the application writes to "target" now: ${application} (SQLSTATE 25006)`);
  return { downtime: downtimeOf(answer), application };
}

/** Writes on the target arrive on the source, which stays sealed for everyone else. */
export async function streamBack({ follower, say }: Scene): Promise<void> {
  say('>>> what it writes on "target" is streamed back to "source" …');
  const transactions = await follower.until('changes on the way back', BACK_SECONDS, (sample) => {
    const { heartbeat = {} } = sample.activities.find(({ type }) => type === 'streamChanges') ?? {};
    const applied = Number(heartbeat['transactions'] ?? 0);
    return sample.progress?.phase === 'reverse' && applied > 0 ? applied : undefined;
  });
  say(`>>> ${transactions} transactions of "target" are on "source" already`);
}

/**
 * From here on the application knows only the target, so that both sides can be compared after the switch: it is refused until the end.
 */
export async function switchBack(
  { follower, say, workflowId }: Scene,
  writer: WriterProcess,
): Promise<Switch> {
  say(
    '>>> switchback: the same in the other direction; the application goes on trying on "target"',
  );
  const answer = await follower.during(update(workflowId, 'switchback', say));
  const refusing = writer.said(/refuses writes/);
  return {
    downtime: downtimeOf(answer),
    application: refusing ? '"target" refuses its writes' : '"target" STILL TAKES WRITES',
  };
}

/** @returns the totals of the one that ended. */
export async function replaceWriter(
  data: string,
  writer: WriterProcess,
  order: WriterOrder,
): Promise<{ readonly totals: string; readonly next: WriterProcess }> {
  const totals = await writer.stop();
  const next = WriterProcess.start(data, order);
  await next.begun();
  return { totals, next };
}

function downtimeOf(answer: string): string | undefined {
  return /writes were stopped for ([\d.]+ (?:min [\d.]+ )?s)\b/.exec(answer)?.[1];
}
