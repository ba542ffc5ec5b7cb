/**
 * With `old_snapshot_threshold` (removed in 17), a query with an older snapshot fails (72000) when it reads a page that changed
 * since. The exported snapshot lasts as long as the copy, so a table that changes fails in every pass.
 */
import { span } from '../wording.ts';
import { defineCheck, raising, refusesOrWarns } from '../check.ts';
import { bytesOf, SLOW_COPY } from '../facts/copy-size.ts';
import { relations } from '../facts/selected.ts';
import { value } from '../reading.ts';

const { codes, error, warning } = raising({
  'old-snapshot': refusesOrWarns(
    'The source cancels queries with old snapshots (old_snapshot_threshold); an error if the copy is expected to take longer.',
  ),
});

export const oldSnapshot = defineCheck({
  codes,
  source: {
    relations,
    snapshotSeconds: value<number | null>(/* sql */ `
      select (select nullif(setting, '-1')::float8 * 60
                from pg_catalog.pg_settings where name = 'old_snapshot_threshold')`),
  },
  find: ({ source }) => {
    const limit = source?.snapshotSeconds ?? null;
    if (source === null || limit === null) return [];
    const copy = bytesOf(source.relations) / SLOW_COPY;
    return (copy >= limit ? error : warning)(
      'old-snapshot',
      `the source cancels queries whose snapshot is older than ${span(limit)} (old_snapshot_threshold), but the copy needs one snapshot for ${span(copy)} (at 20 MB/s)`,
      'On the source: alter system set old_snapshot_threshold = -1; then restart the server.',
    );
  },
});
