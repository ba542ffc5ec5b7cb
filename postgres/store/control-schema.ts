/**
 * The control schema on the target: the authoritative state of a migration (confirmed LSN, exported snapshots, chunks), written
 * in the same transactions as the rows. One migration per target database at a time.
 */

import { CREATE_CUTOVER_CALL } from './cutover-call.ts';
import { CREATE_THROTTLE } from './throttle.ts';

/** xid8 values are stored as bigint: every transaction id below 2^63 fits, and JavaScript reads them as text anyway. */
export const CREATE_CONTROL_SCHEMA = /* sql */ `
create schema if not exists walferry;
comment on schema walferry is 'State of a running walferry migration; removed when it ends.';

create table if not exists walferry.migration (
  id text primary key,                     -- firstExecutionRunId of the workflow
  workflow_id text not null,
  slot text not null,
  source_system text not null,             -- system_identifier of the source: any other server is refused
  source_database text not null,
  created_at timestamptz not null default now(),
  consistent_lsn pg_lsn,                   -- consistent point: from here on the slot delivers every commit
  barrier bigint,                          -- xid barrier: transaction id assigned after the slot was ready
  epoch bigint not null default 0,         -- raised by every attempt to stream; guards every apply transaction
  attempt_pid integer,                     -- backend of the newest attempt on the target ...
  attempt_scheduled bigint,                -- when it was scheduled, ms on Temporal's clock: older attempts are refused
  attempt_started timestamptz,             -- ... and its backend_start, so that a reused pid is never ended
  confirmed_lsn pg_lsn,
  commit_lsn pg_lsn,                       -- end of the last received commit record before confirmed_lsn ...
  commit_xid bigint,                       -- ... its transaction, 32 bits ...
  commit_at text,                          -- ... and its commit time: these three detect a rewound source
  transactions bigint not null default 0,
  changes bigint not null default 0,
  consistent boolean not null default false,
  withheld jsonb,                          -- what leases excluded from the stream (withheld.ts); null: no lease yet
  source_schemas jsonb,                    -- rows of the source's schemas (schema-row.ts) as of the confirmed LSN or earlier
  outdated integer,                        -- newest pass when the stream last requested a copy: that copy needs a later one
  released_lsn pg_lsn,                     -- end mark after which the final check found no change: the slot is dropped next
  tables_created boolean,                  -- whether walferry created the tables or found them empty
  archive bytea                            -- schema-only pg_dump archive (custom format): any worker can restore post-data
);

create table if not exists walferry.side (
  migration text not null references walferry.migration on delete cascade,
  side text not null,                      -- source or target
  system text not null,                    -- system_identifier of the server
  database bigint not null,                -- oid: a database name can be reused
  timeline bigint not null,                -- the latest timeline that was verified to contain everything confirmed
  primary key (migration, side)
);

create table if not exists walferry.exported_snapshot (
  migration text not null references walferry.migration on delete cascade,
  number integer not null,
  snapshot text not null,                  -- name from pg_export_snapshot()
  snapshot_xmin bigint not null,           -- (a column cannot be named xmin: that is a system column)
  snapshot_xmax bigint not null,
  snapshot_xip bigint[] not null,
  lsn pg_lsn not null,                     -- no commit record at or after it is visible in the snapshot
  owner_pid integer not null,
  owner_started timestamptz not null,
  mark_lsn pg_lsn,                         -- end of a logical message that was written and flushed after the snapshot ...
  mark text,                               -- ... and its nonce: a stream that reaches the position must receive it
  taken_at timestamptz not null default now(),
  primary key (migration, number)
);

create table if not exists walferry.relation (
  migration text not null references walferry.migration on delete cascade,
  id integer not null,                     -- number within the migration
  source_oid bigint not null,
  schema_name text not null,
  table_name text not null,
  kind text not null default 'r',          -- r: table; p: partitioned table, has no rows itself
  pages bigint not null default 0,
  estimated_rows bigint not null default 0,
  estimated_bytes bigint not null default 0,
  pass integer,                            -- the pass that all its chunks belong to
  state text not null,                     -- table-state.ts: its values, and the moves between them
  reason text,                             -- why it needs a resync
  chunks_left integer not null default 0,  -- unfinished chunks of its pass; the row lock counts concurrent marks
  root_schema text,                        -- the table on the target for the rows of this partition ...
  root_name text,                          -- ... null: the one with its own name
  definition jsonb,                        -- table definition as the stream has followed it; null: as the source has it
  primary key (migration, id),
  unique (migration, schema_name, table_name),
  check (case kind when 'p' then state in ('ready', 'resync', 'dropped') and pass is null
                   else state in ('pending', 'copying', 'catching-up', 'ready', 'resync', 'absent', 'dropped') end),
  check (case when state in ('pending', 'dropped') then pass is null
              when kind = 'r' and state <> 'resync' then pass is not null else true end),
  check ((state = 'resync') = (reason is not null)),
  check (chunks_left > 0 or state <> 'copying')
);

create table if not exists walferry.chunk (
  migration text not null references walferry.migration on delete cascade,
  id integer not null,
  pass integer not null,
  relations integer[] not null,            -- one, or a bundle of small tables
  first_block bigint,                      -- null: whole tables
  end_block bigint,                        -- first block not in the chunk; null: to the end
  pages bigint not null,
  done_at timestamptz,
  rows bigint,
  bytes bigint,
  worker text,                             -- host name and process id of the worker that copied it
  primary key (migration, id)
);

create table if not exists walferry.stopped_change (
  migration text not null references walferry.migration on delete cascade,
  at timestamptz not null default now(),
  lsn pg_lsn not null,
  schema_name text,
  table_name text,
  action text,
  key_columns jsonb,                       -- key of the row: stored here because no row value leaves the databases
  code text not null,
  sqlstate text
);
${CREATE_THROTTLE}
${CREATE_CUTOVER_CALL}
`;
