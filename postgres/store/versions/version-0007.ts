/** Version 7 of the control schema: until where changes may carry the wrong name (../recorded-schema.ts). */
export const VERSION_0007 = /* sql */ `
alter table walferry.migration
  add column doubted_schemas jsonb,        -- rows of the source's schemas that differ from source_schemas ...
  add column doubted_until pg_lsn;         -- ... and a position after they were read: later commits carry the right names
`;
