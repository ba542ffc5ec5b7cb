/** Faults that were survived, requests of the operator, and what was changed on the servers: from the histories. */
import { shortReason } from '../../contract/record.ts';
import { STEPS } from './report-course.ts';
import { activitiesOf, isBackward, ofType, type Known } from './report-facts.ts';
import type { Change, Fault, Report, Request } from './report-model.ts';
import type { Activity } from './run-history.ts';

const MOST_FAULTS = 50;
/** Waits for a free worker place are attempts, too, but nothing went wrong. */
const NO_FAULT = 'WorkerFull';

export function faultsOf(known: Known): Report['faults'] {
  const all = activitiesOf(known);
  const list = all.flatMap((activity) => faultOf(activity));
  const retried = all.filter(({ failure }) => failure?.type !== NO_FAULT);
  return {
    retries: retried.reduce((sum, { attempts }) => sum + Math.max(0, attempts - 1), 0),
    lost: list.filter(({ what }) => what === 'worker lost').length,
    workers: new Set(all.flatMap(({ worker }) => (worker === undefined ? [] : [worker]))).size,
    list: list.slice(0, MOST_FAULTS),
    more: Math.max(0, list.length - MOST_FAULTS),
  };
}

function faultOf({ type, scheduledAt, endedAt, end, attempts, failure }: Activity): Fault[] {
  if (!failure || failure.type === NO_FAULT) return [];
  const survived = attempts > 1 || end === 'timedOut' || end === 'failed';
  if (!survived) return [];
  const { message, type: code } = failure;
  const reason = code === '' || message.includes(code) ? message : `${message} (${code})`;
  return [
    {
      ...{ at: endedAt ?? scheduledAt, step: STEPS[type] ?? type, attempts: Math.max(1, attempts) },
      ...{ what: kindOf(failure, end), reason: shortReason(reason) },
    },
  ];
}

function kindOf(failure: NonNullable<Activity['failure']>, end: Activity['end']): Fault['what'] {
  if (failure.timedOut) return 'worker lost';
  if (failure.type === 'WorkerShutdown') return 'worker shut down';
  return end === 'failed' ? 'failed' : 'retried';
}

export function requestsOf({ runs }: Known): Request[] {
  return runs.flatMap(({ updates }) =>
    updates.map(({ at, name, answer }) => ({
      ...{ at, name, answer: answer === undefined ? null : shortReason(answer) },
    })),
  );
}

/** What walferry makes or changes outside the tables, with the steps that do it and undo it. */
const CHANGES: readonly {
  readonly what: (source: string, target: string) => string;
  readonly makes: readonly string[];
  readonly undoes: readonly string[];
  /** Whether its steps are those of the way back; unset: both count. */
  readonly backward?: boolean;
}[] = [
  {
    what: (source) => `replication slot on "${source}"`,
    ...{ makes: ['createSlot'], undoes: ['dropSlot'] },
  },
  {
    what: (_, target) => `control schema walferry on "${target}"`,
    ...{ makes: ['copySchema'], undoes: ['dropControl', 'undoSchema'] },
  },
  {
    what: (_, target) => `triggers and rules on "${target}" disabled`,
    ...{
      makes: ['buildConstraints', 'disableTriggers'],
      undoes: ['enableTriggers', 'switchCutover', 'undoSchema'],
    },
  },
  {
    what: (source) => `fence on "${source}"`,
    ...{ makes: ['prepareCutover', 'armCutover'], undoes: ['removeFence'], backward: false },
  },
  {
    what: (_, target) => `fence on "${target}", for the switch back`,
    ...{ makes: ['prepareCutover', 'armCutover'], undoes: ['removeFence'], backward: true },
  },
  {
    what: (source, target) => `way back from "${target}" to "${source}"`,
    ...{ makes: ['openWayBack'], undoes: ['closeWayBack'] },
  },
];

export function changesOf(known: Known, source: string, target: string): Change[] {
  return CHANGES.flatMap(({ what, makes, undoes, backward }) => {
    const [made, ...again] = completed(known, makes, backward);
    if (made === undefined) return [];
    const last = again.at(-1) ?? made;
    const undone = completed(known, undoes, backward).at(-1);
    const isUndone = undone !== undefined && undone >= last;
    return [{ what: what(source, target), made, undone: isUndone ? undone : null }];
  });
}

/** When steps of these types ended well, in order. */
function completed(known: Known, types: readonly string[], backward?: boolean): string[] {
  return ofType(known, ...types)
    .filter((one) => backward === undefined || isBackward(one) === backward)
    .flatMap(({ end, endedAt }) => (end === 'completed' && endedAt ? [endedAt] : []))
    .sort();
}
