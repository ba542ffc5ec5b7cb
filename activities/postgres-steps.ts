/** The steps that a real worker runs: every function of postgres/ that an activity stands for. */
import { connect } from '../postgres/connection/session.ts';
import { dropControl } from '../postgres/control/migration.ts';
import { compareCounts } from '../postgres/cutover/counts.ts';
import { writeEndMark } from '../postgres/cutover/end-mark.ts';
import { laterChanges } from '../postgres/cutover/later-changes.ts';
import { objectDifferences } from '../postgres/cutover/objects.ts';
import { setSequences } from '../postgres/cutover/sequences.ts';
import { inspect } from '../postgres/preflight/inspect.ts';
import { analyzeTables } from '../postgres/schema/analyze.ts';
import { buildConstraints } from '../postgres/schema/constraints.ts';
import { copySchema } from '../postgres/schema/copy.ts';
import { buildIndexes } from '../postgres/schema/indexes.ts';
import { enableTriggers, quietTriggers } from '../postgres/schema/quiet.ts';
import { refreshViews } from '../postgres/schema/refresh.ts';
import { undoSchema } from '../postgres/schema/undo.ts';
import { createSlot } from '../postgres/slot/create.ts';
import { dropSlot } from '../postgres/slot/drop.ts';
import { copyChunks } from '../postgres/snapshot/copy.ts';
import { holdSnapshot } from '../postgres/snapshot/hold.ts';
import { planCopy } from '../postgres/snapshot/plan.ts';
import { fenceStream, streamChanges } from '../postgres/stream/changes.ts';
import type { Steps } from './steps.ts';

export const postgresSteps: Steps = {
  inspect,
  copySchema,
  createSlot,
  holdSnapshot,
  planCopy,
  copyChunks: (migration, _input, what, work) => copyChunks(migration, what, work),
  buildIndexes,
  analyzeTables,
  buildConstraints,
  refreshViews,
  streamChanges,
  fenceStream,
  writeEndMark,
  setSequences: async (migration, input, work) => ({
    ...(await setSequences(migration, input, work)),
    differences: await objectDifferences(migration, input, work.signal),
  }),
  compareCounts,
  laterChanges,
  enableTriggers,
  quietTriggers,
  dropSlot,
  undoSchema,
  dropControl: async (migration) => {
    await using target = await connect(migration.target, 'cleanup');
    await dropControl(target, migration);
  },
};
