/** Version 6 of the control schema: what a way back leaves out. Its row is on the old database (../way-back.ts). */
export const VERSION_0006 = /* sql */ `
alter table walferry.migration
  add column not_returned jsonb;           -- of a way back: tables that it leaves out, [{"schema", "name", "why"}, …]; null: not planned yet
`;
