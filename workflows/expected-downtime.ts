/** Whether a cutover, or a switch back, fits into the time that is permitted: asked last, while the application still writes. */
import { patched } from '@temporalio/workflow';
import type { Prepared } from '../contract/cutover.ts';
import {
  downtimeParts,
  downtimeSeconds,
  wordDowntime,
  type DowntimeFacts,
} from '../contract/downtime.ts';
import { acceptedBy } from './accepted.ts';
import { directionOf } from './direction.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { ending } from './failure.ts';

/** Histories of earlier code count the writes of sessions that the cutover ends. */
const PATCH = 'ends-sessions';

/** What was measured since readiness was judged, in seconds. */
interface Measured {
  readonly checking: number;
  readonly draining: number;
}

/** @throws ApplicationFailure `DowntimeTooLong`, unless the operator accepts that. No write was stopped. */
export function refuseWhatCannotFit(
  run: Execution,
  request: CutoverRequest,
  prepared: Prepared,
  { checking, draining }: Measured,
): void {
  const { compare, maxDowntimeSeconds: seconds } = request;
  const { readiness } = run.state;
  // Those of the way back are not measured: what readiness knows is about the target, when it was one.
  const { sequences = 0, triggers = 0 } = (run.isBack ? undefined : readiness)?.facts ?? {};
  const parts = downtimeParts({
    writer: writerOf(run, prepared),
    ...{ drains: 2, drainSeconds: draining },
    checks: compare === 'off' ? null : { seconds: checking },
    ...{ sequences, triggers },
  });
  const estimate = downtimeSeconds(parts);
  if (estimate <= seconds || acceptedBy(run, request).includes('downtime-too-long')) return;
  throw ending(
    'DowntimeTooLong',
    `the ${directionOf(run).what} would stop the writes for about ${estimate} s, and ${seconds} s are permitted: ${wordDowntime(parts)}. No write was stopped`,
  );
}

/** Whose writes the box waits for. It ends sessions where it may; a prepared transaction has none that it could end. */
function writerOf(run: Execution, { writer, writerMs }: Prepared): DowntimeFacts['writer'] {
  if (writer === null) return null;
  const oldest = { who: writer, seconds: writerMs / 1000 };
  // As prepare-box.ts names them.
  const isSession = !writer.startsWith('prepared transaction');
  if (!run.input.fenceExtras.endSessions || !isSession || !patched(PATCH)) return oldest;
  // A session may be the oldest and hide a prepared transaction.
  const { count = 0, seconds = 0 } =
    (run.isBack ? undefined : run.state.readiness)?.facts.prepared ?? {};
  return count === 0 ? null : { who: 'a prepared transaction', seconds };
}
