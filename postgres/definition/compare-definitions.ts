/**
 * Compares what the migration moves beside rows: what both catalogs say of every object, asked with the same queries. DDL since the
 * schema copy is not in the stream; the operator runs it on both sides, and this comparison names what one side lacks, with the SQL
 * for the target. What is left out by choice is no difference, and what waits for the cutover is compared as it will be then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Difference } from '../../contract/definition.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { readCreatedEntries } from '../store/schema-entry.ts';
import { readBoth } from './catalog-facts.ts';
import { collationDifferences } from './collation-fact.ts';
import { byObject, createdAmong, differencesOf } from './difference.ts';
import { keyOfFact } from './fact.ts';
import { afterwards, NOTHING_PENDING, readPending } from './pending.ts';
import { reprinted } from './reprint.ts';
import { readScope } from './scope.ts';

const STEP = 'comparing definitions';
/** Waiting for a lock on the source would make its other sessions wait, too. */
const LOCK_TIMEOUT_MS = 5_000;
/** DDL on both sides is never at the same moment: what differs now may be equal a moment later. */
const AGAIN_AFTER_MS = 1_000;
/** A catalog that changes while it is read makes the server's own functions fail. */
const TRIES = 5;

/**
 * Compares the definitions of both sides. Changes nothing. What is reported was found twice.
 * @param work its signal cuts both sessions. `ended`: the migration may be over, and its control schema gone.
 * @returns the differences, ordered by object; not bounded.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function compareDefinitions(
  migration: Migration,
  input: MigrationInput,
  {
    signal,
    beat = () => undefined,
    ended,
  }: Partial<Pick<Work, 'signal' | 'beat'>> & { readonly ended?: true } = {},
): Promise<Difference[]> {
  try {
    const waits = signal ? { signal } : {};
    const options = ended ? ({ ...waits, unregistered: 'any more' } as const) : waits;
    await using target = await connectTarget(migration, 'definition', options);
    await using source = await connectSource(migration, 'definition', {
      ...options,
      ...{ target, lockTimeoutMs: LOCK_TIMEOUT_MS },
    });
    const progress = { step: STEP, relations: 0 };
    return await whileWatched(
      [source, target],
      { beat },
      () => ({ ...progress }),
      async () => {
        const once = () =>
          unlessChanging(() =>
            compareOnce({ source, target }, migration, input, (relations) =>
              Object.assign(progress, { relations }),
            ),
          );
        const first = await once();
        if (first.length === 0) return [];
        await sleep(AGAIN_AFTER_MS, undefined, waits);
        const before = new Set(first.map(keyOfFact));
        return (await once()).filter((one) => before.has(keyOfFact(one)));
      },
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step: STEP }, 'Internal');
  }
}

interface Sides {
  readonly source: Session;
  readonly target: Session;
}

async function compareOnce(
  sides: Sides,
  migration: Migration,
  input: MigrationInput,
  report: (relations: number) => void,
): Promise<Difference[]> {
  await Promise.all(
    [sides.source, sides.target].map((one) =>
      one.query(`set search_path = ''; set quote_all_identifiers = off`),
    ),
  );
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

/** An object that is dropped between the list and its description makes a statement fail. */
async function unlessChanging<T>(read: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await read();
    } catch (error) {
      if (tries === TRIES || !GONE.has(sqlstate(error) ?? '')) throw error;
    }
  }
}

/** `cache lookup failed` has no code of its own (XX000). */
const GONE: ReadonlySet<string> = new Set(['XX000', '42P01', '42704', '42883', '3F000']);
