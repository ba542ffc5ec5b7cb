/**
 * Version 1 of the control schema: everything that walferry 0.1 stores. Never edit it once it is released: targets have it as it is. Add
 * the next version instead (../README.md).
 *
 * xid8 values are stored as bigint: every transaction id below 2^63 fits, and JavaScript reads them as text anyway.
 */
export const VERSION_0001 = /* sql */ `
create schema if not exists walferry;
comment on schema walferry is 'State of a running walferry migration; removed when it ends.';

create table walferry.version (
  number integer primary key,              -- one row per version that was applied; the greatest is in force
  applied_at timestamptz not null default now()
);

create table walferry.migration (
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

create table walferry.side (
  migration text not null references walferry.migration on delete cascade,
  side text not null,                      -- source or target
  system text not null,                    -- system_identifier of the server
  database bigint not null,                -- oid: a database name can be reused
  timeline bigint not null,                -- the latest timeline that was verified to contain everything confirmed
  primary key (migration, side)
);

create table walferry.exported_snapshot (
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

create table walferry.relation (
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

create table walferry.chunk (
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

create table walferry.stopped_change (
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

create table walferry.throttle (
  migration text primary key references walferry.migration on delete cascade,
  version integer not null default 0,      -- of the limits: a late write of an older version has no effect
  limits jsonb,                            -- null: unlimited
  guard jsonb,                             -- last report of the source's guard ...
  guard_snapshot integer,                  -- ... the exported snapshot whose owner runs the guard ...
  guard_at timestamptz                     -- ... and its time: a report that is not renewed is ignored
);

create table walferry.copier (
  migration text not null references walferry.throttle on delete cascade,
  worker text not null,                    -- a process that copies
  streams integer not null,                -- its copy streams, running or held
  joined timestamptz not null default clock_timestamp(),
  seen timestamptz not null,               -- a process that is silent for some seconds is ignored
  primary key (migration, worker)
);

-- No foreign key to the migration's row: a frozen attempt may lock that row, and only the drain after the end mark ends it.
create table walferry.cutover_call (
  migration text not null,
  update_id text not null,
  run text not null,                       -- run id of the workflow that started it
  primary key (migration, update_id)
);

create table walferry.schema_entry (
  migration text not null references walferry.migration on delete cascade,
  position integer not null,               -- order of the archive's script
  id integer not null,                     -- number in the archive's table of contents
  phase text not null,                     -- tables, indexes or constraints; checks: see deferred-check.ts; grants: see late-grant.ts
  kind text not null,                      -- pg_dump's word: TABLE, INDEX, FK CONSTRAINT, ...
  schema_name text,
  name text not null,                      -- pg_dump's tag
  sql text not null,
  depends integer[] not null,
  tables text[] not null,                  -- readable names of the tables it is part of, its own first
  refresh boolean not null default false,  -- a materialized view to fill; the operator may set it to false
  was_empty boolean,                       -- a materialized view that was empty on the source when this was stored; null: not noted
  refresh_state text,                      -- SQLSTATE of the last failed attempt to fill it, or to add a check
  added oid,                               -- a foreign key that exists here but is not validated yet; for ROW SECURITY: its table
  refreshed pg_lsn,                        -- the end mark that a materialized view was last refreshed for
  broken_rows bigint,                      -- rows that break it, when the last attempt failed on them; null: not counted
  broken_query text,                       -- lists those rows
  source_class oid,                        -- catalog and oid of the object on the source; 0 or null: a part without one
  source_oid oid,
  done_at timestamptz,
  primary key (migration, id)
);

-- For the batches that create the tables: without it each would read all entries.
create index schema_entry_waiting on walferry.schema_entry (migration, phase, position) where done_at is null;

create table walferry.archive (
  migration text not null references walferry.migration on delete cascade,
  number_offset integer not null,          -- added to the archive's entry numbers to get those in schema_entry
  content bytea not null,                  -- further archives of a schema that was dumped in parts; the first is in walferry.migration
  primary key (migration, number_offset)
);

create table walferry.left_out (
  migration text not null references walferry.migration on delete cascade,
  position integer not null,
  object text not null,                    -- kind and name
  reason text not null,                    -- excluded: depends on something left out; kind: never moved; accepted; unselected; unvalidated
  primary key (migration, position)
);

create table walferry.disabled_trigger (
  migration text not null references walferry.migration on delete cascade,
  kind text not null,                      -- trigger, rule or event trigger
  schema_name text not null default '',
  table_name text not null default '',
  name text not null,
  state "char" not null,                   -- tgenabled, ev_enabled or evtenabled to restore at the cutover
  given_back boolean not null default false,
  object oid,                              -- of pg_trigger, pg_rewrite or pg_event_trigger
  made boolean,                            -- walferry created it: at the cutover it gets the source's state
  primary key (migration, kind, schema_name, table_name, name)
);
`;
