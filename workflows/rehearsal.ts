/**
 * A rehearsal of the cutover: everything that is safe to do while the application writes, and how long it would have stopped it.
 * With `{"fence": true}` the writes are really stopped, for a few seconds at most, and given back in any case. Nothing is released.
 */
import { patched } from '@temporalio/workflow';
import type { Prepared, SwitchRehearsed } from '../contract/cutover.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { long, quick } from './activities.ts';
import { rehearseBox } from './box.ts';
import { measureChecks } from './box-checks.ts';
import { ending, throwIfStopped } from './failure.ts';
import { catchUp, drain, prepare } from './fenced-cutover.ts';
import { FIRST_TRIES, LONG, QUICK } from './options.ts';
import { requireReady } from './readiness.ts';
import { passing, retryUntilDone } from './retry-until-done.ts';
import { duration } from './wording.ts';

/** Longest downtime of a rehearsal: applications see errors, not waits. */
export const REHEARSED_SECONDS = 5;

/** @returns the answer. @throws what would have prevented the cutover. */
export async function rehearse(run: Execution, request: CutoverRequest): Promise<string> {
  const prepared = await prepare(run, request);
  if (prepared.switched !== null) throw ending('Refused', 'the migration has switched already');
  // What would refuse the cutover. Histories of earlier code do not ask.
  if (patched('rehearsal-readiness')) await requireReady(run, request);
  await catchUp(run);
  throwIfStopped();
  if (request.rehearsal !== 'fence') return withoutFence(run, request);
  return withFence(run, request, prepared.changes);
}

async function withoutFence(
  run: Execution,
  { compare, maxDowntimeSeconds: seconds }: CutoverRequest,
): Promise<string> {
  const { waitedMs, holders } = await retryUntilDone(run, 'wait for the present writers', (retry) =>
    long.rehearseProof.executeWithOptions(
      { ...LONG, retry, activityId: 'rehearse-proof', summary: 'prove, without arming' },
      [run.step],
    ),
  );
  const began = Date.now();
  const mark = await retryUntilDone(run, 'write end mark', (retry) =>
    quick.writeEndMark.executeWithOptions(
      { ...QUICK, retry, activityId: 'end-mark', summary: 'write end mark' },
      [run.bare],
    ),
  );
  await drain(run, mark);
  const draining = (Date.now() - began) / 1000;
  const checking = await measureChecks(run, { compare, seconds });
  const tried = await trySwitch(run);
  const proving = waitedMs / 1000;
  const writers = holders === 1 ? '1 transaction that wrote' : `${holders} transactions that wrote`;
  const parts = [
    `${writers} would have held the cutover up for ${duration(proving)}`,
    `a drain takes ${duration(draining)}, and the cutover has two`,
    `its checks take ${duration(checking)}`,
    ...releaseText(tried),
  ];
  const total = proving + 2 * draining + checking + (tried?.releaseMs ?? 0) / 1000;
  return `Rehearsed without stopping a write: ${parts.join('; ')}. The writes would stop for about ${duration(total)}.${fenceText(tried)} Streaming continues.`;
}

/** Null in a replay: histories of earlier code do not try it. */
async function trySwitch(run: Execution): Promise<SwitchRehearsed | null> {
  if (!patched('rehearsal-release')) return null;
  run.tell({ type: 'stepBegun', step: 'rehearse the release' });
  try {
    const tried = await long.rehearseSwitch.executeWithOptions(
      {
        ...{ ...LONG, retry: FIRST_TRIES },
        ...{ activityId: 'rehearse-switch', summary: 'release, rolled back' },
      },
      [run.step],
    );
    throwIfStopped();
    return tried;
  } catch (error) {
    throwIfStopped();
    // A session that has a table locked is what the rehearsal is to find: it is the answer, and no reason to wait.
    const reason = passing(error);
    throw reason ? ending(reason.code, reason.message) : error;
  }
}

function releaseText(tried: SwitchRehearsed | null): string[] {
  if (tried === null) return [];
  const { releaseMs, triggers } = tried;
  const enabled =
    triggers === 0 ? '' : ` with ${triggers === 1 ? '1 trigger' : `${triggers} triggers`}`;
  return [`its release${enabled}, rolled back, took ${duration(releaseMs / 1000)}`];
}

const fenceText = (tried: SwitchRehearsed | null): string =>
  tried?.probeMs == null ? '' : " The fence refuses writes, tried on a table of walferry's own.";

async function withFence(
  run: Execution,
  { compare }: CutoverRequest,
  changes: Prepared['changes'] = [],
): Promise<string> {
  const tried = await trySwitch(run);
  const order = { seconds: REHEARSED_SECONDS, compare, changes };
  const { seconds, steps } = await rehearseBox(run, order);
  const list = steps.map((one) => `${one.step} ${duration(one.seconds)}`).join(', ');
  const release = releaseText(tried).map((one) => `; ${one}`);
  return `Rehearsed with the fence: writes were stopped for ${duration(seconds)} at most (${list}), and the source takes them again. The cutover seals, drains once more and releases in addition${release.join('')}. Streaming continues.`;
}
