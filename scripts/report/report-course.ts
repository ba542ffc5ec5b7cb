/** Phases, cutovers and lag: as the migration stored them, and for migrations of earlier code from the activities in its history. */
import { PHASES, type Phase } from '../../contract/progress.ts';
import type { CutoverRecord, LagSample } from '../../contract/record.ts';
import {
  activitiesOf,
  carriedOf,
  deadlineOf,
  downtimeOf,
  newestOf,
  ofType,
  outcomeOf,
  storedRecord,
  streamReportOf,
  type Known,
} from './report-facts.ts';
import type { PhaseTime, Report } from './report-model.ts';
import type { Activity, Update } from './run-history.ts';

const MS_PER_SECOND = 1000;

export const secondsBetween = (from: string, to: string): number =>
  Math.max(0, (Date.parse(to) - Date.parse(from)) / MS_PER_SECOND);

/** The activity whose first scheduling begins a phase. */
const BEGINS: readonly (readonly [Phase, readonly string[]])[] = [
  ['preflight', ['preflight']],
  ['schema', ['copySchema']],
  ['snapshot', ['holdSnapshot', 'planCopy']],
  ['indexes', ['buildIndexes']],
  ['stream', ['streamChanges']],
  ['cutover', ['writeEndMark']],
];

/** Each phase from its first beginning. A cutover that was undone goes back to the stream; the cutovers themselves show that. */
export function phasesOf(known: Known, ended: string | null): PhaseTime[] {
  const derived = BEGINS.flatMap(([phase, types]) => {
    const [first] = ofType(known, ...types);
    return first ? [[phase, first.scheduledAt] as const] : [];
  });
  const stored = (storedRecord(newestOf(known)) ?? known.record)?.startedAt;
  const startedAt: Partial<Record<string, string>> = {
    ...Object.fromEntries(derived),
    ...carriedOf(known.runs[0])?.startedAt,
    ...carriedOf(newestOf(known))?.startedAt,
    ...stored,
  };
  const begun = PHASES.flatMap((phase) => {
    const from = startedAt[phase];
    const isEnd = phase === 'done' || phase === 'failed' || phase === 'aborted';
    return from === undefined || isEnd ? [] : [{ phase, from }];
  }).sort((a, b) => a.from.localeCompare(b.from));
  return begun.map(({ phase, from }, index) => {
    const to = begun[index + 1]?.from ?? ended;
    return { phase, from, to, seconds: secondsBetween(from, to ?? known.now) };
  });
}

export function cutoversOf(known: Known): Report['cutovers'] {
  const stored = (storedRecord(newestOf(known)) ?? known.record ?? carriedCourse(known))?.cutovers;
  const cutovers = stored ?? fromHistories(known);
  return cutovers.map((one) => ({
    ...cameBack(one, known.now),
    seconds: one.end ? secondsBetween(one.at, one.end.at) : null,
  }));
}

/** The undo may wait for the target long after the deadline. */
function cameBack(one: CutoverRecord, now: string): CutoverRecord {
  const { stoppedAt, stoppedSeconds, returnsBy = now } = one;
  if (stoppedAt === undefined || stoppedSeconds !== undefined || returnsBy >= now) return one;
  return { ...one, stoppedSeconds: secondsBetween(stoppedAt, returnsBy) };
}

/** Updates that begin one. */
const KINDS: Readonly<Record<string, Pick<CutoverRecord, 'kind'>>> = {
  ...{ cutover: {}, rehearse: { kind: 'rehearsal' }, switchback: { kind: 'switchback' } },
};
/** The answer of a cutover that waits for its window or for approval: it has not begun. */
const ASKED_FOR = /^Cutover asked for/;

/** Of a closed run, what it got counts only if it stored no more: its own cutover would be missing. */
function carriedCourse(known: Known) {
  const newest = newestOf(known);
  const own =
    newest.updates.some(({ name }) => name in KINDS) ||
    newest.activities.some(({ type }) => type === 'armCutover');
  return own ? undefined : carriedOf(newest)?.course;
}

/** Without a record: what was asked for, and those that began later, in their window. */
function fromHistories(known: Known): CutoverRecord[] {
  const asked = known.runs.flatMap(({ updates }) => fromUpdates(known, updates));
  const within = (at: string) => asked.some((one) => one.at <= at && at <= (one.end?.at ?? at));
  const others = ofType(known, 'armCutover')
    .filter(({ scheduledAt }) => !within(scheduledAt))
    .map(({ scheduledAt: at }) => ({ at, ...stoppedOf(known, at), steps: [] }));
  return [...asked, ...others].sort((a, b) => a.at.localeCompare(b.at));
}

/** The first box from then on: from the step that stops the writes to the one that decides. */
function stoppedOf(
  known: Known,
  from: string,
  until = '~',
): Pick<CutoverRecord, 'stoppedAt' | 'stoppedSeconds' | 'returnsBy'> {
  const armed = ofType(known, 'armCutover').find(
    ({ scheduledAt }) => scheduledAt >= from && scheduledAt <= until,
  );
  if (!armed) return {};
  const { scheduledAt: stoppedAt } = armed;
  const decided = ofType(known, 'switchCutover', 'undoCutover').find(
    (one) => one.scheduledAt >= stoppedAt && outcomeOf(one) !== undefined,
  );
  const returnsBy = returnOf(known, armed, decided);
  if (!decided) return { stoppedAt, ...(returnsBy === undefined ? {} : { returnsBy }) };
  const measured = downtimeOf(decided);
  const undone = decided.endedAt ?? decided.scheduledAt;
  const back = returnsBy !== undefined && returnsBy < undone ? returnsBy : undone;
  const atMost = secondsBetween(stoppedAt, back);
  return { stoppedAt, stoppedSeconds: measured === undefined ? atMost : measured / MS_PER_SECOND };
}

/** When a fence gives the writes back by itself at the latest; undefined if it does not, or may have been sealed. */
function returnOf(known: Known, armed: Activity, decided?: Activity): string | undefined {
  const milliseconds = deadlineOf(armed);
  const { scheduledAt: from, endedAt } = armed;
  if (milliseconds === undefined || endedAt === undefined || armed.end !== 'completed') return;
  const until = decided?.scheduledAt ?? '~';
  const seals = ofType(known, 'sealCutover').some(
    ({ scheduledAt }) => scheduledAt >= from && scheduledAt <= until,
  );
  return seals ? undefined : new Date(Date.parse(endedAt) + milliseconds).toISOString();
}

function fromUpdates(known: Known, updates: readonly Update[]): CutoverRecord[] {
  return updates
    .filter(({ name, answer = '' }) => name in KINDS && !ASKED_FOR.test(answer))
    .map(({ name, at, endedAt, ok, answer = '' }) => {
      const about = { at, ...KINDS[name], ...stoppedOf(known, at, endedAt) };
      const steps = activitiesOf(known)
        .filter((one) => one.scheduledAt >= at && (!endedAt || one.scheduledAt <= endedAt))
        .map((one) => ({ step: STEPS[one.type] ?? one.type, at: one.scheduledAt }));
      if (endedAt === undefined) return { ...about, steps };
      const end = ok
        ? ({ at: endedAt, how: 'done' } as const)
        : ({ at: endedAt, how: 'undone', reason: answer } as const);
      return { ...about, steps, end };
    });
}

/** Activities as people read them. */
export const STEPS: Readonly<Record<string, string>> = {
  ...{ preflight: 'preflight', resolveWindow: 'cutover window', copySchema: 'copy schema' },
  ...{ createSlot: 'create slot', holdSnapshot: 'snapshot owner', planCopy: 'plan the copy' },
  ...{ copyChunks: 'copy', buildIndexes: 'build indexes', analyzeTables: 'analyze tables' },
  ...{ buildConstraints: 'build foreign keys and triggers', streamChanges: 'stream' },
  ...{ refreshViews: 'refresh materialized views', fenceStream: 'fence, read checkpoint' },
  ...{ writeEndMark: 'write end mark', compareCounts: 'compare row counts' },
  ...{ setSequences: 'set sequences', enableTriggers: 'enable triggers' },
  ...{ disableTriggers: 'disable triggers again', laterChanges: 'check for late writes' },
  ...{ dropSlot: 'drop slot', dropControl: 'drop control schema', undoSchema: 'undo the schema' },
  ...{ storeLimits: 'store limits', holdAnchor: 'hold an anchor', comparePieces: 'compare rows' },
  ...{ prepareCutover: 'prepare the fence', armCutover: 'stop the writes' },
  ...{ sealCutover: 'seal the source', switchCutover: 'release the target' },
  ...{ undoCutover: 'undo the cutover', removeFence: 'remove the fence' },
  ...{ assessReadiness: 'assess readiness', rehearseProof: 'wait for the present writers' },
  ...{ rehearseSwitch: 'rehearse the release' },
  ...{ lookAtSource: 'look at the sealed source', openWayBack: 'open the way back' },
  ...{ advanceReverseSlot: 'advance the slot of the way back', planReverse: 'plan the way back' },
  ...{ startReverse: 'start the way back', openOld: 'open the old database' },
  ...{ dropReverseSlot: 'drop the slot of the way back', closeWayBack: 'remove the way back' },
  ...{ planVerification: 'plan a verification', concludeVerification: 'conclude a verification' },
  ...{ repairRows: 'repair rows' },
};

/** As stored; leases since then, and of earlier code, from the history. */
export function lagOf(known: Known): LagSample[] {
  const stored = storedRecord(newestOf(known)) ?? known.record;
  if (stored) return [...stored.lag];
  const before = carriedOf(newestOf(known))?.course?.lag ?? [];
  const since = before.length > 0 ? newestOf(known).activities : activitiesOf(known);
  return [...before, ...since.flatMap((one) => sampleOf(one))];
}

function sampleOf(activity: Activity): LagSample[] {
  if (activity.type !== 'streamChanges' || activity.endedAt === undefined) return [];
  const report = streamReportOf(activity);
  if (!report) return [];
  return [{ at: activity.endedAt, bytes: report.lagBytes, seconds: report.lagSeconds }];
}
