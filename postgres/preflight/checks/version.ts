/** The servers' versions, and whether both can be written to. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { error, warning } from '../wording.ts';

/** wal2json's format 2, `pg_current_xact_id` and xid8 are all there from here on. */
const OLDEST_SOURCE = 13;
/** The first with a TID range scan, by which a part of a table is read without the rest. */
const RANGE_SCAN = 14;

export const version: Check = ({ source, target }) => {
  const findings: Finding[] = [];
  if (source && source.major < OLDEST_SOURCE) {
    findings.push(
      error(
        'source-version',
        `the source is PostgreSQL ${source.version}, and walferry needs ${OLDEST_SOURCE} or newer there`,
        'Update the source first, or move from a physical standby that was promoted and upgraded.',
      ),
    );
  }
  if (source && source.major >= OLDEST_SOURCE && source.major < RANGE_SCAN) {
    findings.push(
      warning(
        'whole-tables',
        `PostgreSQL ${source.version} cannot read a range of a table's blocks, so each table is copied as one chunk`,
        'Nothing to do for small tables. An interrupted table is copied again from the start: keep workers, network and source stable while large tables are copied.',
      ),
    );
  }
  if (source && target && target.major < source.major) {
    findings.push(
      warning(
        'target-older',
        `the target (PostgreSQL ${target.version}) is older than the source (${source.version})`,
        'Objects that only the newer version knows will be refused when the schema is copied.',
      ),
    );
  }
  for (const [side, facts] of [
    ['source', source],
    ['target', target],
  ] as const) {
    if (facts?.inRecovery) {
      findings.push(
        error(
          `${side}-standby`,
          `the ${side} is a standby (in recovery)`,
          'Let the service name the primary server.',
        ),
      );
    }
  }
  return findings;
};
