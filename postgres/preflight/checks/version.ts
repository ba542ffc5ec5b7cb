/** The servers' versions, and whether both are primaries. */
import { defineCheck, raising, ofEachSide, onEachSide, refuses, warns } from '../check.ts';
import { value } from '../reading.ts';

const { codes, error, warning } = raising({
  ...ofEachSide({ standby: refuses('The server is a standby.') }),
  'source-version': refuses('The source is older than walferry supports.'),
  'whole-tables': warns(
    'The source is older than 14: each table is copied as one chunk, and an interrupted one starts over.',
  ),
  'target-older': warns('The target is an older major version than the source.'),
});

/** The first with `pg_current_xact_id` and xid8; wal2json has format 2 there, too. */
const OLDEST_SOURCE = 13;
/** The first with a TID range scan, which reads only a part of a table. */
const RANGE_SCAN = 14;

export const version = defineCheck({
  codes,
  both: { inRecovery: value<boolean>(/* sql */ `select pg_is_in_recovery()`) },
  find: ({ source, target }) => [
    source &&
      source.major < OLDEST_SOURCE &&
      error(
        'source-version',
        `the source is PostgreSQL ${source.version}, but walferry needs ${OLDEST_SOURCE} or newer`,
        'Upgrade the source first, or move from a physical standby that was promoted and upgraded.',
      ),
    source &&
      source.major >= OLDEST_SOURCE &&
      source.major < RANGE_SCAN &&
      warning(
        'whole-tables',
        `PostgreSQL ${source.version} cannot read a range of a table's blocks, so each table is copied as one chunk`,
        'No action is needed for small tables. An interrupted table starts over: keep workers, network and source stable while large tables are copied.',
      ),
    source &&
      target &&
      target.major < source.major &&
      warning(
        'target-older',
        `the target (PostgreSQL ${target.version}) is older than the source (${source.version})`,
        'Use a newer target if the application needs newer features: the target refuses objects that only the newer version supports.',
      ),
    onEachSide(
      { source, target },
      (side, { inRecovery }) =>
        inRecovery &&
        error(
          `${side}-standby`,
          `the ${side} is a standby (in recovery)`,
          'Point the service to the primary server.',
        ),
    ),
  ],
});
