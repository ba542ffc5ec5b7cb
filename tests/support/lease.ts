/** A lease of the stream as the workflow runs it: what is tried again by itself there is tried again here. */
import type { Migration } from '../../contract/migration.ts';
import type { StreamReport, Work } from '../../contract/work.ts';
import { MigrationError } from '../../contract/failure.ts';
import { streamChanges as attempt, type StreamOptions } from '../../postgres/stream/changes.ts';
import type { ParkedStreams } from '../../postgres/stream/parked.ts';

/**
 * Streams again after `KeyUnread`, which any test can meet that alters a table, or whose tables autovacuum analyzes. All else that is
 * thrown is the test's business.
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
