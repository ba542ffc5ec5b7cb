/** The activities of a worker: each wraps one step of postgres/ with Temporal's heartbeat, signal and failures. */
import { admitCopy, admitDrain, admitSnapshotOwner, admitStream } from './admission.ts';
import type { Activities, StreamStep } from './interface.ts';
import type { StreamOptions } from '../postgres/stream/stream-options.ts';
import type { Room } from './room.ts';
import type { Steps } from './steps.ts';
import { activity } from './work.ts';

const PLAN_MS = 30 * 60_000;
const PREFLIGHT_MS = 30 * 60_000;

/**
 * @param steps what the activities call; tests pass their own.
 * @param room the places of the worker, shared by all of its activities.
 */
export function createActivities(steps: Steps, room: Room): Activities {
  return {
    // It tries extensions and reads tables whose columns name objects. Each statement is bounded (gather.ts); together
    // they may take longer than a heartbeat timeout, and would take as long in every retry.
    preflight: activity(
      'preflight',
      ({ migration, input }, work) => steps.inspect(migration, input, work),
      { short: { withinMs: PREFLIGHT_MS } },
    ),
    copySchema: activity('copySchema', ({ migration, input }, work) =>
      steps.copySchema(migration, input, work),
    ),
    createSlot: activity('createSlot', ({ migration }, work) => steps.createSlot(migration, work)),
    // On shutdown it fails instead, and another worker exports the next snapshot at once: a snapshot owner that
    // returned would end the pass.
    holdSnapshot: activity(
      'holdSnapshot',
      ({ migration, guard }, work) => steps.holdSnapshot(migration, work, guard),
      {
        early: 'on cancel',
        admit: (context, _, work) => admitSnapshotOwner(context, room, work),
      },
    ),
    storeLimits: activity(
      'storeLimits',
      ({ migration, limits, version }) => steps.storeLimits(migration, { limits, version }),
      { short: true },
    ),
    // Reading the catalogs and writing the plan of a large database takes minutes at most. Emptying tables that others
    // refer to may take hours, and sends heartbeats as long as the server works on it.
    planCopy: activity(
      'planCopy',
      ({ migration, input }, work) => steps.planCopy(migration, input, work),
      { short: { withinMs: PLAN_MS } },
    ),
    copyChunks: activity(
      'copyChunks',
      ({ migration, ...run }, work) => steps.copyChunks(migration, run, work),
      { admit: (context, _, work) => admitCopy(context, room, work) },
    ),
    buildIndexes: activity('buildIndexes', ({ migration, input }, work) =>
      steps.buildIndexes(migration, input, work),
    ),
    analyzeTables: activity('analyzeTables', ({ migration, input }, work) =>
      steps.analyzeTables(migration, input, work),
    ),
    buildConstraints: activity('buildConstraints', ({ migration, input }, work) =>
      steps.buildConstraints(migration, input, work),
    ),
    refreshViews: activity('refreshViews', ({ migration, input, at }, work) =>
      steps.refreshViews(migration, input, at, work),
    ),
    // A checkpoint is always worth returning: on shutdown the workflow starts the next lease on another worker.
    streamChanges: activity(
      'streamChanges',
      (step, work) => steps.streamChanges(step.migration, streamOptions(step), work),
      {
        early: 'on cancel and shutdown',
        admit: (context, { until }, work) =>
          until === null ? admitStream(context, room, work) : admitDrain(context, room),
      },
    ),
    fenceStream: activity('fenceStream', ({ migration }) => steps.fenceStream(migration), {
      short: true,
    }),
    writeEndMark: activity(
      'writeEndMark',
      ({ migration, call }, work) => steps.writeEndMark(migration, work.signal, call),
      { short: true },
    ),
    setSequences: activity('setSequences', ({ migration, input }, work) =>
      steps.setSequences(migration, input, work),
    ),
    compareCounts: activity('compareCounts', ({ migration, input }, work) =>
      steps.compareCounts(migration, input, work),
    ),
    // Decoding from the slot's restart position, which may lie gigabytes back, takes hours at worst. It sends
    // heartbeats as long as the source works on it; by the clock only while it connects.
    laterChanges: activity(
      'laterChanges',
      ({ migration, input, since }, work) =>
        steps.laterChanges(migration, input, since, work.signal, work.beat),
      { short: true },
    ),
    enableTriggers: activity(
      'enableTriggers',
      ({ migration, aborted = false }, work) => steps.enableTriggers(migration, aborted, work),
      { short: true },
    ),
    disableTriggers: activity(
      'disableTriggers',
      ({ migration }, work) => steps.disableTriggers(migration, work),
      { short: true },
    ),
    dropSlot: activity(
      'dropSlot',
      ({ migration, input, since = null }, work) =>
        steps.dropSlot(migration, input, since, work.signal, work.scheduledAt, work.beat),
      { short: true },
    ),
    undoSchema: activity('undoSchema', ({ migration }, work) =>
      steps.undoSchema(migration, work.signal, work.beat),
    ),
    dropControl: activity('dropControl', ({ migration }) => steps.dropControl(migration), {
      short: true,
    }),
  };
}

function streamOptions({ input, floor, until, leaseMs }: StreamStep): StreamOptions {
  const { batchChanges, batchMilliseconds } = input.stream;
  return {
    floor,
    until,
    leaseMs,
    batchChanges,
    batchMilliseconds,
    ...input.tables,
    ignore: input.ignore,
  };
}
