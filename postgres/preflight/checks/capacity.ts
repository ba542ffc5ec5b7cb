/** Room for one slot on the source, and for a walsender, also when the connection breaks and is made again. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { error, warning } from '../wording.ts';

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
  const free = source.sendersMax - source.sendersUsed;
  if (free === 1) {
    findings.push(
      warning(
        'last-sender',
        `one WAL sender of the source is free (${source.sendersUsed} of max_wal_senders = ${source.sendersMax} are taken): when the connection breaks, the old one may live on until wal_sender_timeout, and the new one waits for it`,
        `alter system set max_wal_senders = ${source.sendersUsed + 4}; then restart the server.`,
      ),
    );
  }
  if (free <= 0) {
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
