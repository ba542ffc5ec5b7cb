/** Version 5: the one record that decides a cutover. */
export const VERSION_0005 = /* sql */ `
-- No foreign key: a removal of the migration's row must not remove, unseen, what a driver still asks for.
create table walferry.outcome (
  cutover text primary key,                -- id of the cutover: the first insert decides, for everybody
  migration text not null,
  what text not null check (what in ('switched', 'undone')),
  decided_at timestamptz not null default clock_timestamp(),
  release_lsn pg_lsn,                      -- end of the release's logical message in the target's WAL: the way back starts here
  downtime_ms bigint                       -- from arming to the end of the release, on the source's clock
);
`;
