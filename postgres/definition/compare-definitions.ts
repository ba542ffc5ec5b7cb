/**
 * Compares what the migration moves beside rows: what both catalogs say of every object, asked with the same queries. DDL since the
 * schema copy is not in the stream; the operator runs it on both sides, and this comparison names what one side lacks, with the SQL
 * for the target. What is left out by choice is no difference, and what waits for the cutover is compared as it will be then.
 */
import type { Difference } from '../../contract/definition.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Session } from '../session/session.ts';
import { readCreatedEntries } from '../store/schema-entry.ts';
import { onBothSides, type Comparing } from './both-sides.ts';
import { readBoth } from './catalog-facts.ts';
import { collationDifferences } from './collation-fact.ts';
import { byObject, createdAmong, differencesOf } from './difference.ts';
import { foundTwice, LOCK_TIMEOUT_MS, type Sessions } from './found-twice.ts';
import { afterwards, NOTHING_PENDING, readPending } from './pending.ts';
import { reprinted } from './reprint.ts';
import { readScope } from './scope.ts';

const STEP = 'comparing definitions';

/**
 * Compares the definitions of both sides. Changes nothing. What is reported was found twice.
 * @param work its signal cuts both sessions. `ended`: the migration may be over, and its control schema gone.
 * @returns the differences, ordered by object; not bounded.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export function compareDefinitions(
  migration: Migration,
  input: MigrationInput,
  work: Comparing = {},
): Promise<Difference[]> {
  return onBothSides(
    migration,
    STEP,
    work,
    (sides) =>
      foundTwice(sides, STEP, work, (report) => compareOnce(sides, migration, input, report)),
    { lockTimeoutMs: LOCK_TIMEOUT_MS },
  );
}

async function compareOnce(
  sides: Sessions,
  migration: Migration,
  input: MigrationInput,
  report: (relations: number) => void,
): Promise<Difference[]> {
  const scope = await readScope(sides, migration, input);
  const { pending, created } = scope.registered
    ? await readStored(sides.target, migration)
    : { pending: NOTHING_PENDING, created: () => true };
  const found: Difference[] = [];
  for await (const both of readBoth(sides, scope, input, created, report)) {
    const { unprinted, ...compared } = await reprinted(sides, afterwards(pending, both));
    found.push(...differencesOf({ ...compared, created, unprinted }));
  }
  found.push(...(await collationDifferences(sides, scope)));
  found.sort(byObject);
  // Whoever created the tables chose what they have: the differences are shown, and do not refuse the cutover.
  return scope.whole ? found : found.map(({ wrong: _, ...one }) => one);
}

/** Without a control schema nothing is pending, and what the target has alone is not known to be its own. */
async function readStored(target: Session, migration: Migration) {
  return {
    pending: await readPending(target, migration),
    created: createdAmong(await readCreatedEntries(target, migration.id)),
  };
}
