/**
 * Settings and rights that fences have changed: as the migration stored them, and from the steps of the newest run where it stored
 * nothing, because it was terminated.
 */
import {
  changesLooked,
  changesRestored,
  changesTaken,
  type FenceChange,
  type FenceTaking,
} from '../../contract/fence-change.ts';
import {
  carriedOf,
  fenceStepOf,
  isBackward,
  newestOf,
  outcomeOf,
  storedRecord,
  type Known,
} from './report-facts.ts';
import type { Change } from './report-model.ts';
import type { Activity } from './run-history.ts';

/** @param services of the migration. */
export function fenceChangesOf(
  known: Known,
  services: Readonly<Record<FenceChange['side'], string>>,
): Change[] {
  const stored = storedRecord(newestOf(known)) ?? known.record;
  const changes = stored ? (stored.fenceChanges ?? []) : fromHistory(known);
  return changes.map(({ side, what, undo, changed, restored }) => ({
    what: `${what}, on "${services[side]}"`,
    ...{ made: changed, undone: restored ?? null },
    ...(undo === undefined ? {} : { undo }),
  }));
}

/** What is known while steps are followed. */
interface Followed {
  readonly changes: readonly FenceChange[];
  /** What the newest preparation has announced. */
  readonly takings: readonly FenceTaking[];
  readonly stoppedAt: string;
}

function fromHistory(known: Known): readonly FenceChange[] {
  const { activities, startedAt } = newestOf(known);
  const changes = carriedOf(newestOf(known))?.course?.fenceChanges ?? [];
  const begin: Followed = { changes, takings: [], stoppedAt: startedAt };
  return activities.reduce(followed, begin).changes;
}

function followed(so: Followed, activity: Activity): Followed {
  const { type, scheduledAt, endedAt: at = scheduledAt, end } = activity;
  const side = isBackward(activity) ? 'target' : 'source';
  const { announced, stays, rehearsal, opens } = fenceStepOf(activity);
  const withChanges = (changes: readonly FenceChange[]): Followed => ({ ...so, changes });
  if (type === 'armCutover') {
    const takings = rehearsal ? so.takings.filter(({ extra }) => !extra) : so.takings;
    const changes = changesTaken(so.changes, side, takings, scheduledAt);
    return { ...so, changes, stoppedAt: scheduledAt };
  }
  if (end !== 'completed') return so;
  if (type === 'prepareCutover') return { ...so, takings: announced };
  if (type === 'undoCutover' && outcomeOf(activity)?.decided === 'undone') {
    return withChanges(changesRestored(so.changes, side, at));
  }
  if (type === 'lookAtSource' && stays !== undefined) {
    return withChanges(changesLooked(so.changes, side, stays, { since: so.stoppedAt, at }));
  }
  if (type === 'openOld' || (type === 'settleOld' && opens)) {
    return withChanges(changesRestored(so.changes, 'source', at));
  }
  return so;
}
