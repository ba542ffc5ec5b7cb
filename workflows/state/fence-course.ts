/** What each event says about settings and rights that a fence has changed, for the report and for whoever is on the old database. Pure. */
import {
  changesLooked,
  changesRestored,
  changesTaken,
  type FenceChange,
  type Side,
} from '../../contract/fence-change.ts';
import type { Course } from '../../contract/record.ts';
import type { Event } from './event.ts';
import type { State } from './state.ts';

/** @param before the state that the event met: on the way back the fence is on the target. */
export function fenceAdvanced(course: Course, before: State, event: Event, at: string): Course {
  const { fenceChanges: changes = [] } = course;
  const next = changed(changes, course, before.back === undefined ? 'source' : 'target', event, at);
  return next === changes ? course : { ...course, fenceChanges: next };
}

function changed(
  changes: readonly FenceChange[],
  { cutovers }: Course,
  side: Side,
  event: Event,
  at: string,
): readonly FenceChange[] {
  const newest = cutovers.at(-1);
  if (event.type === 'boxBegun') {
    const { changes: all = [] } = event;
    // A rehearsal takes no extras.
    const takings = newest?.kind === 'rehearsal' ? all.filter(({ extra }) => !extra) : all;
    return takings.length === 0 ? changes : changesTaken(changes, side, takings, at);
  }
  if (event.type === 'writesReturned') return changesRestored(changes, side, at);
  if (event.type === 'oldOpened') return changesRestored(changes, 'source', at);
  if (event.type !== 'sourceLooked') return changes;
  return changesLooked(changes, side, event.stays, { since: newest?.stoppedAt ?? at, at });
}
