/** A lease of the stream as the workflow runs it, with its automatic retries. */
import type { Migration } from '../../contract/migration.ts';
import type { StreamReport, Work } from '../../contract/work.ts';
import { MigrationError } from '../../contract/failure.ts';
import { streamChanges as attempt } from '../../postgres/stream/lease.ts';
import type { StreamOptions } from '../../postgres/stream/stream-options.ts';
import type { ParkedStreams } from '../../postgres/stream/parked.ts';

/**
 * Retries after `KeyUnread`, which can occur in any test that alters a table, or whose tables autovacuum analyzes.
 * Everything else is thrown to the test.
 */
export async function streamChanges(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  parked?: ParkedStreams,
): Promise<StreamReport> {
  for (;;) {
    try {
      return await attempt(migration, options, work, parked);
    } catch (error) {
      if (!(error instanceof MigrationError && error.code === 'KeyUnread')) throw error;
    }
  }
}
