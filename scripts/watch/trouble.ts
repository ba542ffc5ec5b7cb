/** What slows a migration down or keeps it from going on, in words. Pure. */
import { FAILURES } from '../../contract/failure-catalogue.ts';
import { guardText } from '../../contract/guard.ts';
import type { Progress } from '../../contract/progress.ts';
import { verificationNotes } from '../../workflows/verification-text.ts';
import { limitsText } from '../../workflows/wording.ts';
import { OVER, text } from './heartbeat.ts';
import { moment } from '../../workflows/wording.ts';
import type { LiveActivity, Sample } from './sample.ts';

/** What keeps the numbers old, what is retried, what is waited for. */
export function troublesOf({ trouble, progress, activities }: Sample): string[] {
  return [
    ...(trouble === undefined ? [] : [trouble]),
    ...failingOf(progress),
    ...(progress?.verification ? verificationNotes(progress.verification) : []),
    ...placeWaitOf(progress),
    // Several runs of the copy often have the same trouble.
    ...new Set(activities.flatMap((activity) => troubleOf(activity))),
  ];
}

/** `limits: copy 2 streams; held by the guard: activeSessions 63, ceiling 50`; live where a heartbeat reports it. */
export function throttleOf(
  progress: Progress | undefined,
  activities: readonly LiveActivity[],
): { readonly throttle?: string } {
  if (!progress || OVER.has(progress.phase)) return {};
  const { limits, guard } = progress;
  const limited = limits === undefined ? 'none' : limitsText(limits);
  const beat = activities.find(({ type, live }) => type === 'holdSnapshot' && live)?.heartbeat;
  const held = beat?.['guardHolding'] ?? guard?.holding;
  const said = text(beat?.['guard']) ?? (guard ? guardText(guard) : undefined);
  const parts = [
    ...(limited === 'none' ? [] : [`limits: ${limited}`]),
    ...(said === undefined ? [] : [`${held === true ? 'held by the guard' : 'guard'}: ${said}`]),
  ];
  return parts.length === 0 ? {} : { throttle: parts.join('; ') };
}

/** Why a step of the cutover keeps failing, as far as the workflow knows. */
function failingOf(progress: Progress | undefined): string[] {
  const failing = progress?.cutover?.failing;
  return failing ? [`keeps failing: ${failing.reason} (${failing.code}); ${failing.action}`] : [];
}

function placeWaitOf(progress: Progress | undefined): string[] {
  const wait = progress?.placeWait;
  if (!wait) return [];
  const { since, reason } = wait;
  return [
    `waiting for a free worker place since ${moment(since)}: ${reason}; ${FAILURES.WorkerFull.action}`,
  ];
}

function troubleOf({ type, attempt, failure, heartbeat }: LiveActivity): string[] {
  // Attempts that found no free place did not fail.
  if (attempt <= 1 || text(heartbeat['waitingSince']) !== undefined) return [];
  return [`${type} is retried (attempt ${attempt})${failure === undefined ? '' : `: ${failure}`}`];
}
