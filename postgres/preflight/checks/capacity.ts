/** Room for one slot and one walsender on the source. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { error } from '../wording.ts';

export const capacity: Check = ({ source }) => {
  if (source === null) return [];
  const findings: Finding[] = [];
  const used = source.slots.length;
  if (used >= source.slotsMax) {
    findings.push(
      error(
        'no-free-slot',
        `all replication slots of the source are taken (${used} of max_replication_slots = ${source.slotsMax})`,
        `Drop one that nobody needs (select slot_name, active from pg_replication_slots), or: alter system set max_replication_slots = ${used + 4}; then restart the server.`,
      ),
    );
  }
  if (source.sendersUsed >= source.sendersMax) {
    findings.push(
      error(
        'no-free-sender',
        `all WAL senders of the source are taken (${source.sendersUsed} of max_wal_senders = ${source.sendersMax})`,
        `alter system set max_wal_senders = ${source.sendersUsed + 4}; then restart the server.`,
      ),
    );
  }
  return findings;
};
