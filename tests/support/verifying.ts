/** A migration whose tables are ready, and verifications of it. */
import { randomBytes } from 'node:crypto';
import type { Migration } from '../../contract/migration.ts';
import type { VerificationReport } from '../../contract/verification.ts';
import { readRelations } from '../../postgres/catalog/read-relations.ts';
import type { Selection } from '../../postgres/catalog/selection.ts';
import {
  readDifferences,
  type RowDifference,
} from '../../postgres/store/verification-difference.ts';
import { readVerifiedTables } from '../../postgres/store/verification-table.ts';
import { registerRelations } from '../../postgres/store/table-move.ts';
import {
  runVerification,
  type WholeVerification,
} from '../../postgres/verification/whole-verification.ts';
import { inputOf, registered } from './control.ts';
import type { FreshPair } from './database.ts';
import { statesOf, type TestStates } from './held-states.ts';
import { EVERYTHING, startMigration, testWork, type TestWork } from './stream.ts';

/** As {@link startMigration}; every table is ready, as after the stream passed the copy. */
export async function readyMigration(
  db: FreshPair,
  ddl: string,
  selection: Selection = EVERYTHING,
  onTarget = ddl,
): Promise<Migration> {
  const migration = await startMigration(db, ddl, selection, onTarget);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'ready' where kind = 'r'`,
  );
  return migration;
}

/** The same for tables that were filled on both sides by other means. */
export async function readyWithRows(
  db: FreshPair,
  selection: Selection = EVERYTHING,
): Promise<Migration> {
  const migration = await registered(db);
  const relations = await readRelations(db.sourceClient, selection);
  await registerRelations(db.targetClient, migration, relations);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'ready', pass = 1 where kind = 'r'`,
  );
  return migration;
}

/** A new verification of the migration. @param more settings of the input. */
export function verificationOf(
  db: FreshPair,
  migration: Migration,
  more: Record<string, unknown> = {},
): WholeVerification {
  return {
    migration,
    verification: randomBytes(4).toString('hex'),
    input: inputOf(db, { copy: { chunkMegabytes: 1, parallelism: 2 }, ...more }),
  };
}

export interface VerifiedResult {
  readonly report: VerificationReport;
  readonly found: Readonly<Record<string, readonly RowDifference[]>>;
  readonly work: TestWork;
  readonly step: WholeVerification;
}

/** Runs a whole verification and reads what it stored. */
export async function verify(
  db: FreshPair,
  migration: Migration,
  more: Record<string, unknown> = {},
  states: TestStates = statesOf(db),
): Promise<VerifiedResult> {
  const step = verificationOf(db, migration, more);
  const work = testWork();
  const report = await runVerification(step, work, states);
  const found: Record<string, readonly RowDifference[]> = {};
  for (const { id, name, state } of await readVerifiedTables(db.targetClient, step)) {
    if (state === 'different') found[name] = await readDifferences(db.targetClient, step, id);
  }
  return { report, found, work, step };
}
