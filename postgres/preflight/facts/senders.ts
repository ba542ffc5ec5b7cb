/** WAL senders of a side's server. */
import { shared, value } from '../reading.ts';

export interface SenderFacts {
  readonly max: number;
  readonly used: number;
}

export const senders = shared(
  value<SenderFacts>(/* sql */ `
    select json_build_object('max', current_setting('max_wal_senders')::int4,
                             'used', (select count(*) from pg_catalog.pg_stat_replication))`),
);
