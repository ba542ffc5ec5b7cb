/** The steps that a real worker runs: every function of postgres/ that is behind an activity. */
import { storeLimits } from '../postgres/store/throttle.ts';
import { compareCounts } from '../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../postgres/stream/end-mark.ts';
import { laterChanges } from '../postgres/cutover/later-changes.ts';
import { checkDifferences } from '../postgres/cutover/check-differences.ts';
import { objectDifferences } from '../postgres/cutover/object-differences.ts';
import { releaseSlot } from '../postgres/cutover/release-slot.ts';
import { setSequences } from '../postgres/cutover/set-sequences.ts';
import { connectTarget } from '../postgres/session/open.ts';
import { refuseUnlogged } from '../postgres/cutover/unlogged-refusal.ts';
import { inspect } from '../postgres/preflight/inspect.ts';
import { analyzeTables } from '../postgres/schema/analyze-tables.ts';
import { buildConstraints } from '../postgres/schema/build-constraints.ts';
import { copySchema } from '../postgres/schema/copy-schema.ts';
import { endOnTarget } from '../postgres/schema/end.ts';
import { buildIndexes } from '../postgres/schema/build-indexes.ts';
import { runLateGrants } from '../postgres/schema/late-grant.ts';
import { enableTriggers, disableTriggers } from '../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../postgres/schema/refresh-views.ts';
import { undoSchema } from '../postgres/schema/undo-schema.ts';
import { createSlot } from '../postgres/slot/create-slot.ts';
import { dropSlot } from '../postgres/slot/drop-slot.ts';
import { copyChunks } from '../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../postgres/snapshot/hold.ts';
import { planCopy } from '../postgres/snapshot/copy-plan.ts';
import { fenceStream, streamChanges } from '../postgres/stream/changes.ts';
import { ParkedStreams } from '../postgres/stream/parked.ts';
import type { Steps } from './steps.ts';

/** Of this worker: each process has its own. */
const parked = new ParkedStreams();

/** Closes what stays open between two steps; to be called when no further step can come. */
export const closeSteps = (): Promise<void> => parked.closeAll();

export const postgresSteps: Steps = {
  inspect,
  copySchema,
  createSlot,
  holdSnapshot,
  storeLimits: async (migration, limits) => {
    await using target = await connectTarget(migration, 'limits');
    await storeLimits(target, migration, limits);
  },
  planCopy,
  copyChunks,
  buildIndexes,
  analyzeTables,
  buildConstraints,
  refreshViews,
  streamChanges: (migration, options, work) => streamChanges(migration, options, work, parked),
  fenceStream,
  writeEndMark,
  setSequences: async (migration, input, work) => ({
    ...(await setSequences(migration, input, work)),
    differences: await objectDifferences(migration, input, work),
  }),
  compareCounts,
  laterChanges: async (migration, input, since, signal, beat) => {
    await refuseUnlogged(migration, input, signal, beat);
    return laterChanges(migration, input, since, signal, beat);
  },
  enableTriggers: async (migration, aborted, work) => {
    if (aborted) {
      return { enabled: await enableTriggers(migration, work, 'the source if it is there') };
    }
    const enabled = await enableTriggers(migration, work);
    const differences = await checkDifferences(migration, work);
    return { enabled, ...(differences.length === 0 ? {} : { differences }) };
  },
  disableTriggers,
  dropSlot: (migration, input, since, signal, scheduledAt, beat) =>
    since === null
      ? dropSlot(migration)
      : releaseSlot(migration, input, since, signal, scheduledAt, beat),
  undoSchema,
  dropControl: async (migration) => {
    await runLateGrants(migration);
    await using target = await connectTarget(migration, 'cleanup', { unregistered: 'any more' });
    await endOnTarget(target, migration);
  },
};
