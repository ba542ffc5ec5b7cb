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
import { afterwards, readPending } from './pending.ts';
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
 * @param work its signal cuts both sessions.
 * @returns the differences, ordered by object; not bounded.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function compareDefinitions(
  migration: Migration,
  input: MigrationInput,
  { signal, beat = () => undefined }: Partial<Pick<Work, 'signal' | 'beat'>> = {},
): Promise<Difference[]> {
  try {
    const options = signal ? { signal } : {};
    await using source = await connectSource(migration, 'definition', {
      ...options,
      lockTimeoutMs: LOCK_TIMEOUT_MS,
    });
    await using target = await connectTarget(migration, 'definition', options);
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
        await sleep(AGAIN_AFTER_MS, undefined, options);
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
  const pending = await readPending(sides.target, migration);
  const created = createdAmong(await readCreatedEntries(sides.target, migration.id));
  const found: Difference[] = [];
  for await (const both of readBoth(sides, scope, input, created, report)) {
    const { unprinted, ...compared } = await reprinted(sides, afterwards(pending, both));
    found.push(...differencesOf({ ...compared, created, unprinted }));
  }
  found.push(...(await collationDifferences(sides, scope)));
  return found.sort(byObject);
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
