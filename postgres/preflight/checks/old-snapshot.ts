/**
 * With `old_snapshot_threshold` (removed in 17), a query with an older snapshot fails (72000) when it reads a page that changed
 * since. The exported snapshot lasts as long as the copy, so a table that changes fails in every pass.
 */
import type { Check } from '../facts.ts';
import { error, span, warning } from '../wording.ts';
import { SLOW_COPY } from './wal.ts';

export const oldSnapshot: Check = ({ source }) => {
  const limit = source?.snapshotSeconds ?? null;
  if (source === null || limit === null) return [];
  const copy = source.relations.reduce((sum, one) => sum + one.bytes, 0) / SLOW_COPY;
  return [
    (copy >= limit ? error : warning)(
      'old-snapshot',
      `the source cancels queries whose snapshot is older than ${span(limit)} (old_snapshot_threshold), but the copy needs one snapshot for ${span(copy)} (at 20 MB/s)`,
      'On the source: alter system set old_snapshot_threshold = -1; then restart the server.',
    ),
  ];
};
