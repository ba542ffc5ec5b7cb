/** Version 2 of the control schema: anchors, the states at which a verification reads both sides (stream/standing.ts). */
export const VERSION_0002 = /* sql */ `
create table walferry.anchor (
  migration text primary key references walferry.migration on delete cascade,
  id text not null,                        -- of the request
  state text not null,
  reason text,                             -- why it was given up
  owner_pid integer not null,              -- backend of the owner on the target ...
  owner_started timestamptz,               -- ... and its backend_start; null: the role may not see it
  epoch bigint,                            -- of the lease that stands: everything that it has applied is visible in the snapshot
  visible text,                            -- pg_current_snapshot() of the source's snapshot
  lsn pg_lsn,                              -- no commit record at or after it is visible in the snapshot
  source_snapshot text,                    -- names from pg_export_snapshot(), valid while the owner lives
  target_snapshot text,
  taken_at timestamptz,
  check (state in ('wanted', 'standing', 'taken', 'reached', 'held', 'given up')),
  check ((state = 'given up') = (reason is not null))
);

create table walferry.barrier (
  migration text primary key references walferry.migration on delete cascade,
  anchor text not null,                    -- id of the anchor that it was written for
  visible text not null,                   -- the target has every transaction that is visible here ...
  lsn pg_lsn not null,                     -- ... and commits before this position, whatever the confirmed LSN is
  confirmed pg_lsn not null                -- the confirmed LSN of the barrier's transaction: with it, the target has nothing else
);
`;
