/** Sessions on both sides of a migration, for steps that compare what they have and change nothing. */
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Sessions } from './found-twice.ts';

/** The signal cuts both sessions. `ended`: the migration may be over, and its control schema gone. */
export type Comparing = Partial<Pick<Work, 'signal' | 'beat'>> & { readonly ended?: true };

/**
 * @param step for messages.
 * @param further of the session on the source.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function onBothSides<T>(
  migration: Migration,
  step: string,
  { signal, ended }: Comparing,
  run: (sides: Sessions) => Promise<T>,
  further: { readonly lockTimeoutMs?: number } = {},
): Promise<T> {
  try {
    const waits = signal ? { signal } : {};
    const options = ended ? ({ ...waits, unregistered: 'any more' } as const) : waits;
    await using target = await connectTarget(migration, 'definition', options);
    await using source = await connectSource(migration, 'definition', {
      ...options,
      ...further,
      target,
    });
    return await run({ source, target });
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step }, 'Internal');
  }
}
