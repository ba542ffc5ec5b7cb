/** What the workflow does when tables need a resync while streaming, without a workflow. */
import { MigrationError } from '../../contract/failure.ts';
import { parseInput } from '../../contract/input.ts';
import { type MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { NOTHING_IGNORED, type IgnorePatterns } from '../../postgres/catalog/ignore-patterns.ts';
import type { Selection } from '../../postgres/catalog/selection.ts';
import { copyChunks } from '../../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../../postgres/snapshot/snapshot-owner.ts';
import { planCopy } from '../../postgres/snapshot/copy-plan.ts';
import type { FreshPair } from './database.ts';
import { drain, EVERYTHING, testWork } from './stream.ts';

/** Which tables, and what is ignored. */
export type Chosen = Selection & { readonly ignore?: IgnorePatterns };

/** The failure of a drain, or null. */
export async function failureOf(
  db: FreshPair,
  migration: Migration,
  selection: Chosen = EVERYTHING,
): Promise<MigrationError | null> {
  try {
    await drain(db, migration, selection);
    return null;
  } catch (error) {
    if (error instanceof MigrationError) return error;
    throw error;
  }
}

function inputOf(db: FreshPair, { ignore = NOTHING_IGNORED, ...tables }: Chosen): MigrationInput {
  const parsed = parseInput({ source: db.source, target: db.target, tables, ignore });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.input;
}

/**
 * What the workflow does at Resync: one pass. Returns what the plan copied.
 * @param planned called between the plan and the first chunk.
 */
export async function resync(
  db: FreshPair,
  migration: Migration,
  selection: Chosen = EVERYTHING,
  planned: () => Promise<unknown> = () => Promise.resolve(),
): Promise<string[]> {
  const input = inputOf(db, selection);
  const work = testWork();
  const owner = testWork();
  const held = holdSnapshot(migration, owner);
  // A snapshot owner that fails must not leave the plan waiting for it.
  held.catch(() => work.abort());
  try {
    const plan = await planCopy(migration, input, work);
    await planned();
    for (const run of plan.runs) {
      await copyChunks(migration, { pass: plan.pass, run }, work);
    }
    return plan.runs.map(({ label }) => label);
  } finally {
    owner.abort();
    await held;
  }
}

/** Drains; resyncs what needs it. */
export async function drainWithCopies(
  db: FreshPair,
  migration: Migration,
  selection: Chosen = EVERYTHING,
): Promise<string[]> {
  const copied: string[] = [];
  for (let rounds = 0; ; rounds += 1) {
    const failure = await failureOf(db, migration, selection);
    if (failure === null) return copied;
    if (failure.code !== 'Resync' || rounds > 3) throw failure;
    copied.push(failure.message, ...(await resync(db, migration, selection)));
  }
}
