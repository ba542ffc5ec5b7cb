/** The source writes a WAL that can be decoded, and keeps it until it was read. */
import type { Check } from '../facts.ts';
import type { Finding } from '../../../contract/finding.ts';
import { error, warning } from '../wording.ts';

export const wal: Check = ({ source }) => {
  if (source === null) return [];
  const findings: Finding[] = [];
  if (source.walLevel !== 'logical') {
    findings.push(
      error(
        'wal-level',
        `wal_level on the source is ${source.walLevel}, and changes can be read only with logical`,
        "On the source: alter system set wal_level = 'logical'; then restart the server.",
      ),
    );
  }
  // The slot is not read during the copy: a limit that is met in hour one is noticed in hour ten.
  if (source.walKept !== null) {
    findings.push(
      warning(
        'wal-limit',
        `the source drops a slot that keeps more than ${source.walKept} of WAL (max_slot_wal_keep_size), and all WAL of the copy is kept`,
        "If the copy may write more: alter system set max_slot_wal_keep_size = '-1'; select pg_reload_conf();",
      ),
    );
  }
  return findings;
};
