/** WAL senders of the source's server. */
import { shared, type SourceReading } from '../reading.ts';

export interface SenderFacts {
  readonly max: number;
  readonly used: number;
}

export const senders = shared(async (of: SourceReading): Promise<SenderFacts> => {
  const { rows } = await of.client.query<SenderFacts>(/* sql */ `
    select current_setting('max_wal_senders')::int4 as max,
           (select count(*)::int4 from pg_catalog.pg_stat_replication) as used`);
  return rows[0] ?? { max: 0, used: 0 };
});
