/**
 * The activities of a worker: each runs one step with Temporal's heartbeat, signal and failures. Entry point of this
 * folder. To add an activity, write its step in steps.ts and list it here; the workflow sees it at once.
 * activities/ imports contract/, postgres/ and Temporal's SDK; workflow code imports only types from here.
 */
import {
  admitAnchor,
  admitCopy,
  admitDrain,
  admitSnapshotOwner,
  admitStream,
} from './admission.ts';
import type { Room } from './worker-capacity.ts';
import type { Steps } from './steps.ts';
import { activity } from './work.ts';

const PLAN_MS = 30 * 60_000;
const PREFLIGHT_MS = 30 * 60_000;
/** The limits of the operator's statements and command end it before. */
const AFTER_MS = 60 * 60_000;

/** A few statements without progress in between. */
const SHORT = { short: true } as const;
/** The box ends a step of a cutover that takes longer, and it is an hour at most. */
const BOXED = { short: { withinMs: 60 * 60_000 } } as const;
/** No box ends an undo. A statement that is never answered must not keep the writes stopped until the kernel gives the line up. */
const UNDONE = { short: { withinMs: 3 * 60_000 } } as const;

export interface Dependencies {
  /** What the activities call; tests pass their own. */
  readonly steps: Steps;
  /** The places of the worker, shared by all of its activities. */
  readonly room: Room;
}

/** The activities as the workflow sees them. */
export type Activities = ReturnType<typeof createActivities>;

/** Makes the activities of one worker. */
export function createActivities({ steps, room }: Dependencies) {
  return {
    // It tries extensions and reads tables whose columns name objects. Each statement is bounded (gather.ts); together
    // they may take longer than a heartbeat timeout, and would take as long in every retry.
    preflight: activity('preflight', steps.preflight, { short: { withinMs: PREFLIGHT_MS } }),
    resolveWindow: activity('resolveWindow', steps.resolveWindow, SHORT),
    copySchema: activity('copySchema', steps.copySchema),
    createSlot: activity('createSlot', steps.createSlot),
    // On shutdown it fails instead, and another worker exports the next snapshot at once: a snapshot owner that
    // returned would end the pass.
    holdSnapshot: activity('holdSnapshot', steps.holdSnapshot, {
      early: 'on cancel',
      admit: (context, _, work) => admitSnapshotOwner(context, room, work),
    }),
    storeLimits: activity('storeLimits', steps.storeLimits, SHORT),
    // Reading the catalogs and writing the plan of a large database takes minutes at most. Emptying tables that others
    // refer to may take hours, and sends heartbeats as long as the server works on it.
    planCopy: activity('planCopy', steps.planCopy, { short: { withinMs: PLAN_MS } }),
    copyChunks: activity('copyChunks', steps.copyChunks, {
      admit: (context, _, work) => admitCopy(context, room, work),
    }),
    buildIndexes: activity('buildIndexes', steps.buildIndexes),
    analyzeTables: activity('analyzeTables', steps.analyzeTables),
    buildConstraints: activity('buildConstraints', steps.buildConstraints),
    refreshViews: activity('refreshViews', steps.refreshViews),
    // A checkpoint is always worth returning: on shutdown the workflow starts the next lease on another worker.
    streamChanges: activity('streamChanges', steps.streamChanges, {
      early: 'on cancel and shutdown',
      admit: (context, { until }, work) =>
        until === null ? admitStream(context, room, work) : admitDrain(context, room),
    }),
    // As the snapshot owner: on shutdown it fails, and another worker takes the next anchor at once.
    holdAnchor: activity('holdAnchor', steps.holdAnchor, {
      early: 'on cancel',
      admit: (context, _, work) => admitAnchor(context, room, work),
    }),
    planVerification: activity('planVerification', steps.planVerification, {
      short: { withinMs: PLAN_MS },
    }),
    // It reads both databases as fast as a copy does.
    comparePieces: activity('comparePieces', steps.comparePieces, {
      admit: (context, _, work) => admitCopy(context, room, work),
    }),
    concludeVerification: activity('concludeVerification', steps.concludeVerification),
    repairRows: activity('repairRows', steps.repairRows),
    fenceStream: activity('fenceStream', steps.fenceStream, SHORT),
    writeEndMark: activity('writeEndMark', steps.writeEndMark, SHORT),
    compareDefinitions: activity('compareDefinitions', steps.compareDefinitions),
    // Beside every lease: catalogs and statistics only.
    assessReadiness: activity('assessReadiness', steps.assessReadiness, SHORT),
    setSequences: activity('setSequences', steps.setSequences),
    compareCounts: activity('compareCounts', steps.compareCounts),
    // Decoding from the slot's restart position, which may lie gigabytes back, takes hours at worst. It sends
    // heartbeats as long as the source works on it; by the clock only while it connects.
    laterChanges: activity('laterChanges', steps.laterChanges, SHORT),
    enableTriggers: activity('enableTriggers', steps.enableTriggers, SHORT),
    disableTriggers: activity('disableTriggers', steps.disableTriggers, SHORT),
    prepareCutover: activity('prepareCutover', steps.prepareCutover, SHORT),
    rehearseProof: activity('rehearseProof', steps.rehearseProof, SHORT),
    rehearseSwitch: activity('rehearseSwitch', steps.rehearseSwitch, SHORT),
    // Within the box: a writer that does not end is the reason of a wait, and heartbeats by the clock show that the worker lives.
    armCutover: activity('armCutover', steps.armCutover, BOXED),
    compareChanged: activity('compareChanged', steps.compareChanged),
    compareEveryRow: activity('compareEveryRow', steps.compareEveryRow),
    measureChecks: activity('measureChecks', steps.measureChecks),
    sealCutover: activity('sealCutover', steps.sealCutover, BOXED),
    switchCutover: activity('switchCutover', steps.switchCutover, BOXED),
    undoCutover: activity('undoCutover', steps.undoCutover, UNDONE),
    afterRelease: activity('afterRelease', steps.afterRelease, { short: { withinMs: AFTER_MS } }),
    removeFence: activity('removeFence', steps.removeFence, SHORT),
    lookAtSource: activity('lookAtSource', steps.lookAtSource, SHORT),
    openWayBack: activity('openWayBack', steps.openWayBack),
    advanceReverseSlot: activity('advanceReverseSlot', steps.advanceReverseSlot, SHORT),
    planReverse: activity('planReverse', steps.planReverse, BOXED),
    startReverse: activity('startReverse', steps.startReverse, SHORT),
    openOld: activity('openOld', steps.openOld, SHORT),
    settleOld: activity('settleOld', steps.settleOld, SHORT),
    dropReverseSlot: activity('dropReverseSlot', steps.dropReverseSlot, SHORT),
    closeWayBack: activity('closeWayBack', steps.closeWayBack, SHORT),
    dropSlot: activity('dropSlot', steps.dropSlot, SHORT),
    undoSchema: activity('undoSchema', steps.undoSchema),
    dropControl: activity('dropControl', steps.dropControl, SHORT),
  };
}
