/** What a transition adds to the course of the migration, which the report shows. Pure. */
import {
  MOST_CUTOVERS,
  MOST_LAG_SAMPLES,
  MOST_STEPS,
  MOST_STOPS,
  NO_COURSE,
  shortReason,
  type Course,
  type CutoverRecord,
  type LagSample,
} from '../../contract/record.ts';
import type { LeaseReport } from '../../contract/work.ts';
import { isSealStep } from './box-deadline.ts';
import type { Event } from './event.ts';
import { fenceAdvanced } from './fence-course.ts';
import type { State } from './state.ts';

const MS_PER_SECOND = 1000;
/** With these a cutover that is under way is over, too. */
const ENDS: ReadonlySet<Event['type']> = new Set<Event['type']>([
  ...(['abort', 'cancelled', 'failed', 'finalize', 'wayBackOver'] as const),
]);

/**
 * The course after an event.
 * @param before the state that the event met.
 * @param after the state that it led to.
 */
export function courseAfter(before: State, after: State, event: Event, now: string): State {
  const { course = NO_COURSE } = before;
  const next = fenceAdvanced(
    ...([advanced(course, before, after, event, now), before, event, now] as const),
  );
  return next === course ? after : { ...after, course: next };
}

function advanced(course: Course, before: State, after: State, event: Event, now: string): Course {
  if (event.type === 'attemptReported') {
    return { ...course, lag: thinned([...course.lag, ...samplesOf(event.report, now)]) };
  }
  if (event.type === 'operatorNeeded') {
    const { step, code } = event.waiting;
    const stops = [...course.stops, { at: now, step, code }].slice(-MOST_STOPS);
    return { ...withCutoverEnded(course, { at: now, how: 'ended' }), stops };
  }
  if (event.type === 'resyncBegun') {
    // From `copying`: the next try of the same one.
    const resyncs = course.resyncs + (before.stage.at === 'streaming' ? 1 : 0);
    return { ...course, resyncs };
  }
  const waited = 'waiting' in before.stage && !('waiting' in after.stage);
  return cutoverAdvanced(waited ? withStopEnded(course, now) : course, before, after, event, now);
}

/** What an event means for the cutover that is under way, if one is. */
function cutoverAdvanced(
  course: Course,
  before: State,
  after: State,
  event: Event,
  at: string,
): Course {
  if (event.type === 'cutover' || event.type === 'rehearse') {
    // A second call joins the first.
    if (before.stage.at === after.stage.at) return course;
    const begun = { at, ...kindOf(before, event.type), steps: [] };
    return { ...course, cutovers: [...course.cutovers, begun].slice(-MOST_CUTOVERS) };
  }
  if (event.type === 'boxBegun') return withCutover(course, (one) => ({ ...one, stoppedAt: at }));
  if (event.type === 'switched') {
    const { downtimeMs = null } = event;
    const stoppedSeconds = downtimeMs === null ? null : downtimeMs / MS_PER_SECOND;
    return withNewest(course, (one) => ({ ...one, stoppedSeconds }));
  }
  if (event.type === 'armed') return withCutover(course, (one) => armed(one, event, at));
  if (event.type === 'writesReturned') return withNewest(course, (one) => returned(one, at));
  if (event.type === 'stepBegun') {
    const next = withStep(course, { step: event.step, at });
    // Its answer may be lost, and what is sealed does not come back by itself.
    return isSealStep(event.step) ? withNewest(next, withoutReturn) : next;
  }
  if (event.type === 'releaseBegun') return withStep(course, { step: 'release the slot', at });
  if (event.type === 'cutoverUndone') {
    const { reason, rehearsed } = event;
    if (rehearsed) return withCutoverEnded(course, { at, how: 'done' });
    const why = reason ? { code: reason.code, reason: shortReason(reason.message) } : {};
    return withCutoverEnded(course, { at, how: 'undone', ...why });
  }
  if (event.type === 'cutoverCancelled') return withCutoverEnded(course, { at, how: 'cancelled' });
  if (event.type === 'completed' || event.type === 'wayBackBegun')
    return withCutoverEnded(course, { at, how: 'done' });
  return ENDS.has(event.type) ? withCutoverEnded(course, { at, how: 'ended' }) : course;
}

function kindOf({ back }: State, type: 'cutover' | 'rehearse'): Pick<CutoverRecord, 'kind'> {
  if (type === 'rehearse') return { kind: 'rehearsal' };
  return back === undefined ? {} : { kind: 'switchback' };
}

/** Its answer comes after the arming: by the workflow's clock the deadline is no later than so long after it. */
function armed(
  one: CutoverRecord,
  { deadline, seconds, ended = 0 }: Extract<Event, { type: 'armed' }>,
  at: string,
): CutoverRecord {
  const returnsBy =
    deadline === null || seconds === undefined
      ? undefined
      : new Date(Date.parse(at) + seconds * MS_PER_SECOND).toISOString();
  return {
    ...one,
    ...(returnsBy === undefined ? {} : { returnsBy }),
    ...(ended === 0 ? {} : { endedSessions: ended }),
  };
}

function withoutReturn({ returnsBy: _, ...one }: CutoverRecord): CutoverRecord {
  return one;
}

/**
 * By the workflow's clock, from before the first statement that stopped a write to the answer of the undo, or to the deadline, which
 * may be long before it: at most so long.
 */
function returned(one: CutoverRecord, at: string): CutoverRecord {
  const { stoppedAt, returnsBy = at } = one;
  if (stoppedAt === undefined) return one;
  const until = Math.min(Date.parse(at), Date.parse(returnsBy));
  const stoppedSeconds = Math.max(0, until - Date.parse(stoppedAt)) / MS_PER_SECOND;
  return { ...withoutReturn(one), stoppedSeconds };
}

/** Changes the cutover that is under way; without one, nothing. */
function withCutover(course: Course, change: (one: CutoverRecord) => CutoverRecord): Course {
  return course.cutovers.at(-1)?.end ? course : withNewest(course, change);
}

/** Also one that an abort has ended: the writes come back after it. */
function withNewest(course: Course, change: (one: CutoverRecord) => CutoverRecord): Course {
  const newest = course.cutovers.at(-1);
  if (!newest) return course;
  return { ...course, cutovers: [...course.cutovers.slice(0, -1), change(newest)] };
}

function withStep(course: Course, step: CutoverRecord['steps'][number]): Course {
  return withCutover(course, (one) => ({
    ...one,
    steps: [...one.steps, step].slice(-MOST_STEPS),
  }));
}

function withCutoverEnded(course: Course, end: NonNullable<CutoverRecord['end']>): Course {
  return withCutover(course, (one) => ({ ...one, end }));
}

function withStopEnded(course: Course, until: string): Course {
  const newest = course.stops.at(-1);
  if (!newest || newest.until !== undefined) return course;
  return { ...course, stops: [...course.stops.slice(0, -1), { ...newest, until }] };
}

/** Those of the lease, then its end. */
function samplesOf({ lag = [], lagBytes, lagSeconds }: LeaseReport, now: string): LagSample[] {
  const end = Date.parse(now);
  const during = lag.map(({ secondsBefore, bytes, seconds }) => ({
    ...{ at: new Date(end - secondsBefore * MS_PER_SECOND).toISOString(), bytes, seconds },
  }));
  return [...during, { at: now, bytes: lagBytes, seconds: lagSeconds }];
}

/**
 * When there are too many, the worst one of each part of the whole time, and the newest: peaks stay, and so does the beginning. Parts
 * of equal length, because removing every other one would forget the first hours of a long migration.
 */
function thinned(samples: LagSample[]): LagSample[] {
  const [first] = samples;
  const last = samples.at(-1);
  if (!first || !last || samples.length <= MOST_LAG_SAMPLES) return samples;
  const begin = Date.parse(first.at);
  const width = (Date.parse(last.at) - begin) / (MOST_LAG_SAMPLES / 2) || 1;
  const worst = new Map<number, LagSample>();
  for (const sample of samples.slice(0, -1)) {
    const part = Math.floor((Date.parse(sample.at) - begin) / width);
    const other = worst.get(part);
    if (!other || sample.bytes > other.bytes) worst.set(part, sample);
  }
  return [...worst.values(), last];
}
