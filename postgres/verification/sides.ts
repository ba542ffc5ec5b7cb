/** The sessions of a step on both sides, and the hash that both servers compute alike. */
import type pg from 'pg';
import { cut } from '../connection/connect.ts';
import { Planning } from '../session/planning.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import type { Migration } from '../../contract/migration.ts';
import type { ComparedSide } from '../store/verification-piece.ts';
import { HASH_PROBE, type Hashing } from './row-hash.ts';

/** Reading a table waits for its lock with a short timeout, repeatedly, so that the wait can be reported. */
export interface Sides extends AsyncDisposable {
  /** For reading under a state. */
  readonly readers: Readonly<Record<ComparedSide, Session>>;
  readonly planning: Readonly<Record<ComparedSide, Planning>>;
  readonly hashing: Hashing;
}

/** Opens one reading session on each side. @param target an idle session of the target. */
export async function openSides(
  migration: Migration,
  target: pg.ClientBase,
  signal: AbortSignal,
): Promise<Sides> {
  const source = await connectSource(migration, 'verify', { signal, target });
  let there: Session | null = null;
  try {
    there = await connectTarget(migration, 'verify', { signal });
    const readers = { source, target: there };
    // One run is one process on each server, as in the copy: the limits count runs.
    const alone = /* sql */ `set max_parallel_workers_per_gather = 0`;
    await Promise.all([source.query(alone), there.query(alone)]);
    const hashing = await commonHashing(readers);
    return {
      ...{ readers, hashing },
      planning: {
        source: new Planning(migration.source, 'verify'),
        target: new Planning(migration.target, 'verify'),
      },
      [Symbol.asyncDispose]: async () => {
        await Promise.all(
          [readers.source, readers.target].map((one) => one[Symbol.asyncDispose]()),
        );
      },
    };
  } catch (error) {
    cut(source);
    if (there) cut(there);
    throw error;
  }
}

/** The hash that both servers compute alike. */
export async function commonHashing(
  readers: Readonly<Record<ComparedSide, pg.ClientBase>>,
): Promise<Hashing> {
  const probe = async (client: pg.ClientBase) =>
    (await client.query<{ hash: string }>(HASH_PROBE)).rows[0]?.hash;
  return (await probe(readers.source)) === (await probe(readers.target)) ? 'server' : 'md5';
}
