/**
 * The control schema on the target: the truth about a migration's confirmed LSN, generations and chunks, written in
 * the same transactions as the rows. One migration per target database at a time.
 */

import { CREATE_CUTOVER_CALL } from './cutover-call.ts';
import { CREATE_THROTTLE } from './throttle.ts';

/** xid8 values are kept as bigint: every transaction id below 2^63 fits, and JavaScript reads them as text anyway. */
export const CREATE_CONTROL_SCHEMA = /* sql */ `
create schema if not exists walferry;
comment on schema walferry is 'State of a running walferry migration; removed when it ends.';

create table if not exists walferry.migration (
  id text primary key,                     -- firstExecutionRunId of the workflow
  workflow_id text not null,
  slot text not null,
  source_system text not null,             -- system_identifier of the source: another server is refused
  source_database text not null,
  created_at timestamptz not null default now(),
  consistent_lsn pg_lsn,                   -- from here on the slot delivers every commit
  barrier bigint,                             -- transaction id taken after the slot was ready
  epoch bigint not null default 0,         -- taken by every attempt to stream; guards every apply transaction
  attempt_pid integer,                     -- backend of the newest attempt on the target ...
  attempt_scheduled bigint,                -- when it was scheduled, ms on Temporal's clock: an older one is refused
  attempt_started timestamptz,             -- ... and its backend_start, so that a reused pid is never ended
  confirmed_lsn pg_lsn,
  commit_lsn pg_lsn,                       -- end of the last commit record before confirmed_lsn that the stream brought ...
  commit_xid bigint,                       -- ... its transaction, 32 bits ...
  commit_at text,                          -- ... and its commit time: by these three a source that went back is recognised
  transactions bigint not null default 0,
  changes bigint not null default 0,
  consistent boolean not null default false,
  withheld jsonb,                          -- what leases told the plugin to leave out (withheld.ts); null: no lease yet
  source_schemas jsonb,                    -- rows of the source's schemas (schema-row.ts), of the time of the confirmed LSN or before
  outdated integer,                        -- newest pass when the stream last asked for a copy: that copy needs a later one
  released_lsn pg_lsn,                     -- end mark behind which a last look has passed: the slot is dropped next
  tables_created boolean,                  -- whether walferry made the tables or found them empty
  archive bytea                            -- schema-only pg_dump archive (custom format): any worker builds post-data
);

create table if not exists walferry.side (
  migration text not null references walferry.migration on delete cascade,
  side text not null,                      -- source or target
  system text not null,                    -- system_identifier of the server
  database bigint not null,                -- oid: a name can be given to another database
  timeline bigint not null,                -- the last one that was seen to hold everything that was confirmed
  primary key (migration, side)
);

create table if not exists walferry.exported_snapshot (
  migration text not null references walferry.migration on delete cascade,
  number integer not null,
  snapshot text not null,                  -- name from pg_export_snapshot()
  snapshot_xmin bigint not null,           -- (a column cannot be named xmin: that is a system column)
  snapshot_xmax bigint not null,
  snapshot_xip bigint[] not null,
  lsn pg_lsn not null,                     -- a commit record at or after it is never visible in this pass
  owner_pid integer not null,
  owner_started timestamptz not null,
  mark_lsn pg_lsn,                         -- end of a logical message that was written and flushed after the snapshot ...
  mark text,                               -- ... and its nonce: a stream that passes the position has to meet it
  taken_at timestamptz not null default now(),
  primary key (migration, number)
);

create table if not exists walferry.relation (
  migration text not null references walferry.migration on delete cascade,
  id integer not null,                     -- small number of our own
  source_oid bigint not null,
  schema_name text not null,
  table_name text not null,
  kind text not null default 'r',          -- r: table; p: partitioned table, holds no rows itself
  pages bigint not null default 0,
  estimated_rows bigint not null default 0,
  estimated_bytes bigint not null default 0,
  pass integer,                      -- the pass that all its chunks belong to
  rewritten boolean not null default false,-- met a rewrite under its pass: the next round takes it again
  root_schema text,                        -- the table on the target that the rows of this partition go to ...
  root_name text,                          -- ... null: the one of its own name
  definition jsonb,                             -- columns as the stream has followed them so far; null: as the source has them
  primary key (migration, id),
  unique (migration, schema_name, table_name)
);

create table if not exists walferry.chunk (
  migration text not null references walferry.migration on delete cascade,
  id integer not null,
  pass integer not null,
  relations integer[] not null,            -- one, or a bundle of small tables
  first_block bigint,                      -- null: the whole table
  end_block bigint,                        -- first block not in the chunk; null: to the end
  pages bigint not null,
  done_at timestamptz,
  rows bigint,
  bytes bigint,
  worker text,                             -- who copied it: hostname and process id
  primary key (migration, id)
);

create table if not exists walferry.stopped_change (
  migration text not null references walferry.migration on delete cascade,
  at timestamptz not null default now(),
  lsn pg_lsn not null,
  schema_name text,
  table_name text,
  action text,
  key_columns jsonb,                       -- the key of the row: kept here because no row value leaves the databases
  code text not null,
  sqlstate text
);
${CREATE_THROTTLE}
${CREATE_CUTOVER_CALL}
`;
