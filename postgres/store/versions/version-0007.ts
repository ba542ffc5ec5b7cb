/** Version 7 of the control schema: which transactions may have sent changes under the wrong name (../recorded-schema.ts). */
export const VERSION_0007 = /* sql */ `
alter table walferry.migration
  add column doubted_schemas jsonb,        -- rows of the source's schemas that differ from source_schemas ...
  add column doubted_before bigint,        -- ... the transaction id from which on changes carry the right names ...
  add column doubted_until pg_lsn;         -- ... and a position after all older ones have ended; null: some are still open
`;
