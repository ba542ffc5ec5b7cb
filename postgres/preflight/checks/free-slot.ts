/** The source needs a free slot and a free WAL sender, also when the stream reconnects. */
import { defineCheck, raising, refuses, warns } from '../check.ts';
import { senders } from '../facts/senders.ts';
import { slots } from '../facts/slots.ts';
import { value } from '../reading.ts';

const { codes, error, warning } = raising({
  'no-free-slot': refuses('All replication slots are in use.'),
  'last-sender': warns('Only one WAL sender is free; a reconnect may briefly need a second one.'),
  'no-free-sender': refuses('All WAL senders are in use.'),
});

export const freeSlot = defineCheck({
  codes,
  source: {
    slots,
    slotsMax: value<number>(/* sql */ `select current_setting('max_replication_slots')::int4`),
    senders,
  },
  find: ({ source }) => {
    if (source === null) return [];
    const used = source.slots.length;
    const free = source.senders.max - source.senders.used;
    return [
      used >= source.slotsMax &&
        error(
          'no-free-slot',
          `all replication slots of the source are in use (${used} of max_replication_slots = ${source.slotsMax})`,
          `Drop an unused one on the source (select slot_name, active from pg_replication_slots), or: alter system set max_replication_slots = ${used + 4}; then restart the server.`,
        ),
      free === 1 &&
        warning(
          'last-sender',
          `only one WAL sender of the source is free (${source.senders.used} of max_wal_senders = ${source.senders.max} are in use): after a lost connection the old one may last until wal_sender_timeout, and the new one has to wait for it`,
          `On the source: alter system set max_wal_senders = ${source.senders.used + 4}; then restart the server.`,
        ),
      free <= 0 &&
        error(
          'no-free-sender',
          `all WAL senders of the source are in use (${source.senders.used} of max_wal_senders = ${source.senders.max})`,
          `On the source: alter system set max_wal_senders = ${source.senders.used + 4}; then restart the server.`,
        ),
    ];
  },
});
