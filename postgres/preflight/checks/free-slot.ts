/** The source needs a free slot and a free WAL sender, also when the stream reconnects. */
import type { Finding } from '../../../contract/finding.ts';
import { defineCheck, raising, refuses, warns } from '../check.ts';
import { senders } from '../facts/senders.ts';
import { slots } from '../facts/slots.ts';
import type { SourceReading } from '../reading.ts';

const { codes, error, warning } = raising({
  'no-free-slot': refuses('All replication slots are in use.'),
  'last-sender': warns('Only one WAL sender is free; a reconnect may briefly need a second one.'),
  'no-free-sender': refuses('All WAL senders are in use.'),
});

export const freeSlot = defineCheck({
  codes,
  source: { slots, slotsMax: readMost, senders },
  find: ({ source }) => {
    if (source === null) return [];
    const findings: Finding[] = [];
    const used = source.slots.length;
    if (used >= source.slotsMax) {
      findings.push(
        error(
          'no-free-slot',
          `all replication slots of the source are in use (${used} of max_replication_slots = ${source.slotsMax})`,
          `Drop an unused one on the source (select slot_name, active from pg_replication_slots), or: alter system set max_replication_slots = ${used + 4}; then restart the server.`,
        ),
      );
    }
    const free = source.senders.max - source.senders.used;
    if (free === 1) {
      findings.push(
        warning(
          'last-sender',
          `only one WAL sender of the source is free (${source.senders.used} of max_wal_senders = ${source.senders.max} are in use): after a lost connection the old one may last until wal_sender_timeout, and the new one has to wait for it`,
          `On the source: alter system set max_wal_senders = ${source.senders.used + 4}; then restart the server.`,
        ),
      );
    }
    if (free <= 0) {
      findings.push(
        error(
          'no-free-sender',
          `all WAL senders of the source are in use (${source.senders.used} of max_wal_senders = ${source.senders.max})`,
          `On the source: alter system set max_wal_senders = ${source.senders.used + 4}; then restart the server.`,
        ),
      );
    }
    return findings;
  },
});

async function readMost({ client }: SourceReading): Promise<number> {
  const { rows } = await client.query<{ most: number }>(
    /* sql */ `select current_setting('max_replication_slots')::int4 as most`,
  );
  return rows[0]?.most ?? 0;
}
