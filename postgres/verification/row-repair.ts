/**
 * Copies the rows that differ again. They are read from the source under a new state, and written to the target while the stream
 * stands at exactly that state: what the stream applies afterwards is what came after, as after a copy. One transaction a table.
 * Then the same rows are compared at another anchor.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { RepairReport } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import { Defaults } from '../connection/defaults.ts';
import { failPoint } from '../apply/failpoint.ts';
import { classify } from '../connection/failure.ts';
import { firingStates, readEnabledTriggers } from '../schema/enabled-trigger.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectTarget } from '../session/open.ts';
import { takeReplicaRole } from '../session/replica-role.ts';
import type { Session } from '../session/session.ts';
import { requireMigration } from '../store/migration.ts';
import { endVerification, type Verified } from '../store/verification.ts';
import {
  readDifferences,
  storeDifferences,
  type RowDifference,
} from '../store/verification-difference.ts';
import { readVerifiedTables } from '../store/verification-table.ts';
import { reportOf } from './conclusion.ts';
import { guardingFromTheStart, joinReaders } from './guarded-run.ts';
import type { StandingSource } from './held-state.ts';
import { BUCKETS } from './row-hash.ts';
import { replaceRows } from './row-replacement.ts';
import { openSides } from './sides.ts';
import {
  keyText,
  rowDifference,
  scanAtAnchor,
  type ScanParts,
  type SuspectTable,
} from './suspect-tables.ts';
import { lockForReading } from './table-reading.ts';
import { beginUnderState } from './under-state.ts';

/**
 * A worker that freezes with the control row locked would keep every lease of the stream from its epoch, and without another
 * attempt of the repair no one would end its session: then the server does. Below the time that a lease waits for the row.
 */
const FROZEN_MS = 8_000;
/** How often the session shows that it lives, while the source is read. */
const ALIVE_EVERY_MS = 1_000;

const REPAIRING = 'repairing rows';

export interface RepairStep extends Verified {
  readonly input: MigrationInput;
}

interface RepairParts extends ScanParts {
  readonly step: RepairStep;
  readonly target: Session;
  readonly states: StandingSource;
  readonly defaults: Defaults;
  /** States in which a trigger of the target fires for the written rows. */
  readonly firing: readonly string[];
}

/**
 * Repairs the stored differences of a verification: missing rows are inserted, extra ones deleted, different ones replaced; in a
 * table without a key by their number. Idempotent. Differences that are only counted stay.
 * @throws MigrationError `CheckpointMissing`, `Unreachable`, `Contention`, `CopyFailed` naming table and SQLSTATE; what holding an
 *   anchor throws; `signal.reason` when aborted.
 */
export async function repairRows(
  step: RepairStep,
  work: Work,
  states: StandingSource,
): Promise<RepairReport> {
  const { migration } = step;
  try {
    await using target = await connectTarget(migration, 'verify', {
      ...{ signal: work.signal, idleInTransactionTimeoutMs: FROZEN_MS },
    });
    await target.takeOver();
    await requireMigration(target, migration);
    const replicaRole = await takeReplicaRole(target);
    const tables = (await readVerifiedTables(target, step)).flatMap((one): SuspectTable[] =>
      one.state === 'different' && one.shape ? [{ ...one, shape: one.shape }] : [],
    );
    await using sides = await openSides(migration, target, work.signal);
    const { guard } = step.input;
    await using _ = await guardingFromTheStart({ migration, guard }, target, work);
    await using pace = await joinReaders(migration, target, work, () => ({ step: REPAIRING }));
    const parts: RepairParts = {
      ...{ step, target, sides, work, states, pace },
      defaults: await Defaults.read(migration.target, 'verify', target),
      firing: firingStates(replicaRole),
    };
    let rows = 0;
    let repaired = 0;
    for (const table of tables) {
      const differences = await readDifferences(target, step, table.id);
      if (differences.length === 0) continue;
      // Before the anchor: the stream writes nothing while a table is repaired.
      await pace.ready();
      rows += await repairTable(parts, table, differences);
      repaired += 1;
      await verifyAgain(parts, table, differences);
    }
    await endVerification(target, step, await reportOf(target, step));
    return { rows, tables: repaired };
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: REPAIRING }, 'CopyFailed');
  }
}

async function repairTable(
  parts: RepairParts,
  table: SuspectTable,
  differences: readonly RowDifference[],
): Promise<number> {
  const { step, target, sides, work, states } = parts;
  const { source } = sides.readers;
  return states.holdStanding(step.migration, work, target, async (state) => {
    failPoint('repair-locked');
    using _ = keptAlive(target);
    try {
      const describe = () => ({ step: REPAIRING, table: nameOf(table) });
      return await whileWatched([source, target], work, describe, async () => {
        const { sourceSnapshot: name, visible } = state;
        // The target's side is the locked session itself.
        const snapshots = { source: { name, visible }, target: { name: '', visible: '' } };
        if (!(await beginUnderState(source, 'source', { snapshots }))) throw moved(table);
        const read = table.shape.source.map((one) => ({
          ...{ ...one, comparison: table.id, shape: table.shape },
        }));
        if ((await lockForReading(sides, 'source', read, work)).size > 0) throw moved(table);
        // Before anything fires: its effects outside of the database would not be rolled back.
        await refuseFired(target, table, parts.firing);
        const rows = await replaceRows({ ...parts, source }, table, differences);
        await refuseFired(target, table, parts.firing);
        await target.query(/* sql */ `commit`);
        return rows;
      });
    } finally {
      // The stream goes on, whatever happened; after a commit there is nothing to roll back.
      for (const client of [target, source]) {
        if (client.getTransactionStatus() !== 'I') await client.query(/* sql */ `rollback`);
      }
    }
  });
}

function moved(table: SuspectTable): MigrationError {
  return new MigrationError(
    'Contention',
    `${nameOf(table)} was rewritten or locked, or the anchor ended, while its rows were repaired: nothing was written`,
    { table: nameOf(table) },
  );
}

/** Without it, a long read of the source would look like a frozen worker to the target. */
function keptAlive(target: pg.Client): Disposable {
  let asked = false;
  const timer = setInterval(() => {
    if (asked) return;
    asked = true;
    // A lost connection is noticed by the next statement.
    void target
      .query(/* sql */ `select`)
      .catch(() => undefined)
      .finally(() => (asked = false));
  }, ALIVE_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * Disables nothing itself: an attempt that wakes up after the cutover would disable triggers of a live database. A lease disables
 * what it finds at its start. From the first written row on, the table's lock keeps others from creating a trigger.
 */
async function refuseFired(
  target: pg.Client,
  table: SuspectTable,
  firing: readonly string[],
): Promise<void> {
  const [fired] = await readEnabledTriggers(target, [table], firing);
  if (!fired) return;
  throw new MigrationError(
    'Contention',
    `${fired.kind} ${fired.name} of the target's ${nameOf(table)} would fire for repaired rows: nothing was written; the next lease of the stream disables it, then they are repaired`,
    { table: nameOf(table) },
  );
}

/** Compares the repaired rows at another anchor; what still differs stays stored. */
async function verifyAgain(
  { step, target, ...parts }: RepairParts,
  table: SuspectTable,
  differences: readonly RowDifference[],
): Promise<void> {
  const scan = {
    ...{ table, buckets: Array.from({ length: BUCKETS }, (_, bucket) => bucket) },
    keys: differences.map((one) => keyText(table.shape, one)),
  };
  const found = (await scanAtAnchor(target, step, [scan], parts)).get(table.id);
  // Not read: they stay as they are, and the next verification compares the table.
  if (!found) return;
  const left = found.differences.map((one) => rowDifference(table.shape, one));
  const unlisted = table.keys - differences.length;
  await storeDifferences(target, step, table.id, {
    ...{ differences: left, counted: left.length + unlisted, more: unlisted > 0 },
  });
}
