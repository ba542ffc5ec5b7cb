/** Ends a verification: finds the rows that differ, and reports. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import {
  MOST_DIFFERING_TABLES,
  MOST_NOT_COMPARED,
  type VerificationReport,
} from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import { requireMigration } from '../store/migration.ts';
import { endVerification, readVerification, type Verified } from '../store/verification.ts';
import {
  readVerifiedTables,
  settleTables,
  skipTables,
  type VerifiedTable,
} from '../store/verification-table.ts';
import { guardingFromTheStart, joinReaders, UNPACED } from './guarded-run.ts';
import type { StateSource } from './held-state.ts';
import { ONCE_ONLY } from './read-sides.ts';
import { openSides } from './sides.ts';
import { nameDifferences, NAMING, type SuspectTable } from './suspect-tables.ts';

export interface ConcludedStep extends Verified {
  readonly input: MigrationInput;
  /** Without limits and guard. */
  readonly unpaced?: true;
}

/**
 * Call it when a plan has no runs. Idempotent. What is not summed up by now is reported as not compared.
 * @throws MigrationError `CheckpointMissing`, `Unreachable`; what holding an anchor throws; `signal.reason` when aborted.
 */
export async function concludeVerification(
  step: ConcludedStep,
  work: Work,
  states: StateSource,
): Promise<VerificationReport> {
  const { migration } = step;
  try {
    await using target = await connectTarget(migration, 'verify', { signal: work.signal });
    await target.takeOver();
    await requireMigration(target, migration);
    await settleTables(target, step);
    const tables = await readVerifiedTables(target, step);
    const left = tables.filter(({ state }) => state === 'pending' || state === 'summing');
    await skipTables(
      target,
      step,
      left.map(({ id }) => id),
      'was not finished when the verification ended',
    );
    const suspects = tables.flatMap((one): SuspectTable[] =>
      one.state === 'suspect' && one.shape ? [{ ...one, shape: one.shape }] : [],
    );
    if (suspects.length > 0) {
      await using sides = await openSides(migration, target, work.signal);
      const { guard } = step.input;
      const paced = step.unpaced !== true;
      await using _ = paced ? await guardingFromTheStart({ migration, guard }, target, work) : null;
      await using pace = paced
        ? await joinReaders(migration, target, work, () => ({ step: NAMING }))
        : UNPACED;
      await nameDifferences(target, step, suspects, { sides, work, states, pace });
    }
    const report = await reportOf(target, step);
    await endVerification(target, step, report);
    return report;
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: 'concluding the verification' }, 'Internal');
  }
}

/** The report from what is stored. */
export async function reportOf(target: pg.ClientBase, step: Verified): Promise<VerificationReport> {
  const known = await readVerification(target, step);
  if (known === null || known.lsn === null) {
    throw new MigrationError(
      'CheckpointMissing',
      `the control schema has no anchor of verification ${step.verification}: plan it first`,
      { object: 'walferry.verification' },
    );
  }
  const { begunAt, now, anchors, lsn } = known;
  const tables = await readVerifiedTables(target, step);
  const compared = tables.filter(({ state }) => state === 'equal' || state === 'different');
  const different = tables.filter(({ state }) => state === 'different');
  return {
    id: step.verification,
    startedAt: begunAt.toISOString(),
    endedAt: now.toISOString(),
    seconds: Math.round((now.getTime() - begunAt.getTime()) / 100) / 10,
    result: resultOf(tables),
    tables: compared.length,
    rows: compared.reduce((sum, { rows }) => sum + rows, 0),
    bytes: compared.reduce((sum, { bytes }) => sum + bytes, 0),
    ...{ anchors, lsn },
    differing: different
      .slice(0, MOST_DIFFERING_TABLES)
      .map((one) => ({ table: nameOf(one), keys: one.keys, more: one.more })),
    notCompared: tables.flatMap(notCompared).slice(0, MOST_NOT_COMPARED),
  };
}

function resultOf(tables: readonly VerifiedTable[]): VerificationReport['result'] {
  if (tables.some(({ state }) => state === 'different')) return 'different';
  // What the operator accepted in the input is named, and is no gap.
  const open = tables.some(({ state, reason }) => state === 'skipped' && reason !== ONCE_ONLY);
  return open ? 'incomplete' : 'equal';
}

function notCompared(table: VerifiedTable): string[] {
  if (table.reason !== null) return [`${nameOf(table)}: ${table.reason}`];
  return table.shape?.notCompared.map((column) => `${nameOf(table)}.${column}`) ?? [];
}
